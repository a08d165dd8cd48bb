#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/sources/data_file.h"
#include "text/sources/row_order.h"
#include "text/sources/text_row.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// JSONL, a unit being a file, or the lines that begin in a block of one: in [0, 256 KiB), in
/// [256 KiB, 512 KiB), .... So blocks are counted and found without reading, and no line is in two.
class JsonlParts final : public DocumentSource {
 public:
  static constexpr std::uint64_t kBlock = 256 << 10;
  enum class Part { kFile, kBlock };

  /// Blocks, of `block` bytes, are for files that are not compressed.
  JsonlParts(base::FileSystem& files, std::vector<DataFile> data, RowFields fields, Part part,
             std::uint64_t block = kBlock);

  std::optional<std::int64_t> unit_count() override { return first_units_.back(); }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t> order_seed) override;
  bool next(Document& document) override;
  const char* units() const override { return part_ == Part::kFile ? "files" : "blocks"; }
  std::string description() const override;

 private:
  struct Line {
    std::string text;
    LinePosition position;
    std::size_t bytes() const { return text.size(); }
  };

  void open_part(std::size_t file, std::uint64_t block);
  bool read_line(Line& line);

  base::FileSystem& files_;
  std::vector<DataFile> data_;
  RowFields fields_;
  Part part_;
  std::uint64_t block_;
  std::vector<std::int64_t> first_units_;  // of each file, and the end
  std::unique_ptr<LineReader> reader_;     // of data_[file_]
  std::size_t file_ = 0;
  std::uint64_t end_ = 0;  // where no more lines of the unit begin
  RowOrder<Line> order_;
};

}  // namespace titan::text
