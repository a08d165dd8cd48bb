#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/sources/data_file.h"
#include "text/sources/token_file.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// Files that are one stream of token ids each, a unit being the next `tokens_per_window` of them;
/// the last window of a file may be short.
class TokenWindows final : public DocumentSource {
 public:
  /// `format` is kLlmC, kU16 or kU32. Throws RunError naming the file whose header or size is wrong.
  TokenWindows(base::FileSystem& files, std::vector<DataFile> data, config::DataFormat format,
               std::int64_t tokens_per_window);

  std::optional<std::int64_t> unit_count() override { return first_windows_.back(); }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t> order_seed) override;
  bool next(Document& document) override;
  const char* units() const override { return "windows"; }
  std::string description() const override;

 private:
  /// Where the tokens of a file are.
  struct Layout {
    TokenType type;
    std::uint64_t offset = 0;
    std::int64_t tokens = 0;
  };
  static Layout read_layout(const base::ReadableFile& file, config::DataFormat format);

  base::FileSystem& files_;
  std::vector<DataFile> data_;
  std::int64_t tokens_per_window_;
  std::vector<Layout> layouts_;              // of each file
  std::vector<std::int64_t> first_windows_;  // of each file, and the end
  std::optional<TokenFile> open_file_;       // data_[file_]
  std::size_t file_ = 0;
  std::int64_t token_ = 0;  // where the open window begins
  bool is_read_ = true;
};

/// Whether a file begins as those of llm.c do.
bool has_llm_c_header(const base::ReadableFile& file);

}  // namespace titan::text
