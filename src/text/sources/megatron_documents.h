#pragma once

#include <optional>
#include <string>
#include <vector>

#include "text/sources/data_file.h"
#include "text/sources/megatron_index.h"
#include "text/sources/token_file.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// Megatron's pairs of `.bin` and `.idx`, a unit being a document; one of many tokens comes in
/// pieces, one without tokens has none.
class MegatronDocuments final : public DocumentSource {
 public:
  static constexpr std::int64_t kPiece = 256 << 10;  // tokens

  /// `data` are the `.bin` files. Throws RunError naming the file when an index is missing or wrong.
  MegatronDocuments(base::FileSystem& files, std::vector<DataFile> data);

  std::optional<std::int64_t> unit_count() override { return first_units_.back(); }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t> order_seed) override;
  bool next(Document& document) override;
  const char* units() const override { return "documents"; }
  std::string description() const override;

 private:
  /// A pair that is open.
  struct Pair {
    MegatronIndex index;
    TokenFile tokens;
  };

  void open_pair(std::size_t pair);
  std::int64_t take(std::int64_t most, std::vector<std::int64_t>* tokens);

  base::FileSystem& files_;
  std::vector<DataFile> data_;
  std::vector<DataFile> indices_;
  std::vector<std::int64_t> first_units_;  // of each pair, and the end
  std::optional<Pair> pair_;               // data_[number_]
  std::size_t number_ = 0;
  MegatronIndex::Document rest_;  // the sequences of the open document that are left
  std::int64_t token_ = 0;        // the next one of the first of them
  bool begins_ = true;
};

/// The name of the index of a `.bin` file.
std::string megatron_index_path(const std::string& bin_path);

}  // namespace titan::text
