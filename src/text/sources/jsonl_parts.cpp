#include "text/sources/sources_of_formats.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <utility>

#include "text/sources/make_byte_stream.h"
#include "text/sources/row_order.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

class JsonlParts final : public DocumentSource {
 public:
  JsonlParts(base::FileSystem& files, std::vector<DataFile> data, RowFields fields, JsonlPart part,
             std::uint64_t block)
      : files_(files),
        data_(std::move(data)),
        fields_(std::move(fields)),
        part_(part),
        block_(block) {
    std::int64_t units = 0;
    for (const DataFile& file : data_) {
      first_units_.push_back(units);
      units +=
          part == JsonlPart::kFile ? 1 : static_cast<std::int64_t>((file.size + block - 1) / block);
    }
    first_units_.push_back(units);
  }

  std::optional<std::int64_t> unit_count() override { return first_units_.back(); }
  bool open(std::int64_t unit, std::int64_t skip,
            std::optional<std::uint64_t> order_seed) override {
    TITAN_CHECK(unit >= 0 && skip >= 0, "units and documents are counted from 0");
    if (unit >= first_units_.back()) return false;
    const auto file = std::upper_bound(first_units_.begin(), first_units_.end(), unit) - 1;
    open_part(static_cast<std::size_t>(file - first_units_.begin()),
              static_cast<std::uint64_t>(unit - *file));
    order_.begin(unit, order_seed);
    const auto read = [this](Line& line) { return read_line(line); };
    if (const std::int64_t there = order_.skip(skip, read); there < skip) {
      throw RunError(concat("cannot go to row ", skip, " of ",
                            part_ == JsonlPart::kFile ? "" : "a block of ", "'", data_[file_].path,
                            "': there are ", there, " rows"));
    }
    return true;
  }

  bool next(Document& document) override {
    const Line* line = order_.next([this](Line& next) { return read_line(next); });
    if (!line) return false;
    parse_text_row(line->text, fields_, data_[file_].path, line->position, document);
    return true;
  }

  std::int64_t pass_over(std::int64_t documents) override {
    return order_.skip(documents, [this](Line& next) { return read_line(next); });
  }

  bool unit_is_document() const override { return false; }
  const char* units() const override { return part_ == JsonlPart::kFile ? "files" : "blocks"; }
  std::string description() const override { return concat("JSONL in ", describe_files(data_)); }

 private:
  struct Line {
    std::string text;
    LinePosition position;
    std::size_t bytes() const { return text.size(); }
  };

  void open_part(std::size_t file, std::uint64_t block) {
    if (!reader_ || file != file_) {
      reader_ = std::make_unique<LineReader>(make_byte_stream(open_data_file(files_, data_[file])));
      file_ = file;
    }
    if (part_ == JsonlPart::kFile) {
      end_ = std::numeric_limits<std::uint64_t>::max();
      reader_->seek({});
      return;
    }
    end_ = (block + 1) * block_;
    if (!reader_->seek_line(block * block_, end_)) end_ = 0;
  }

  bool read_line(Line& line) {
    std::string_view text;
    do {
      line.position = reader_->position();
      if (line.position.offset >= end_ || !reader_->next(text)) return false;
    } while (is_blank(text));
    line.text = text;
    return true;
  }

  base::FileSystem& files_;
  std::vector<DataFile> data_;
  RowFields fields_;
  JsonlPart part_;
  std::uint64_t block_;
  std::vector<std::int64_t> first_units_;  // of each file, and the end
  std::unique_ptr<LineReader> reader_;     // of data_[file_]
  std::size_t file_ = 0;
  std::uint64_t end_ = 0;  // where no more lines of the unit begin
  RowOrder<Line> order_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_jsonl_parts(base::FileSystem& files,
                                                 std::vector<DataFile> data, RowFields fields,
                                                 JsonlPart part, std::uint64_t block) {
  return std::make_unique<JsonlParts>(files, std::move(data), std::move(fields), part, block);
}

}  // namespace titan::text
