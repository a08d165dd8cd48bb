#include "text/sources/jsonl_parts.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "text/sources/make_byte_stream.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {

JsonlParts::JsonlParts(base::FileSystem& files, std::vector<DataFile> data, RowFields fields,
                       Part part, std::uint64_t block)
    : files_(files),
      data_(std::move(data)),
      fields_(std::move(fields)),
      part_(part),
      block_(block) {
  std::int64_t units = 0;
  for (const DataFile& file : data_) {
    first_units_.push_back(units);
    units += part == Part::kFile ? 1 : static_cast<std::int64_t>((file.size + block - 1) / block);
  }
  first_units_.push_back(units);
}

bool JsonlParts::open(std::int64_t unit, std::int64_t skip,
                      std::optional<std::uint64_t> order_seed) {
  TITAN_CHECK(unit >= 0 && skip >= 0, "units and documents are counted from 0");
  if (unit >= first_units_.back()) return false;
  const auto file = std::upper_bound(first_units_.begin(), first_units_.end(), unit) - 1;
  open_part(static_cast<std::size_t>(file - first_units_.begin()),
            static_cast<std::uint64_t>(unit - *file));
  order_.begin(unit, order_seed);
  const auto read = [this](Line& line) { return read_line(line); };
  if (const std::int64_t there = order_.skip(skip, read); there < skip) {
    throw RunError(concat("cannot go to row ", skip, " of ",
                          part_ == Part::kFile ? "" : "a block of ", "'", data_[file_].path,
                          "': there are ", there, " rows"));
  }
  return true;
}

void JsonlParts::open_part(std::size_t file, std::uint64_t block) {
  if (!reader_ || file != file_) {
    reader_ = std::make_unique<LineReader>(make_byte_stream(open_data_file(files_, data_[file])));
    file_ = file;
  }
  if (part_ == Part::kFile) {
    end_ = std::numeric_limits<std::uint64_t>::max();
    reader_->seek({});
    return;
  }
  end_ = (block + 1) * block_;
  if (!reader_->seek_line(block * block_, end_)) end_ = 0;
}

bool JsonlParts::read_line(Line& line) {
  std::string_view text;
  do {
    line.position = reader_->position();
    if (line.position.offset >= end_ || !reader_->next(text)) return false;
  } while (is_blank(text));
  line.text = text;
  return true;
}

bool JsonlParts::next(Document& document) {
  const Line* line = order_.next([this](Line& next) { return read_line(next); });
  if (!line) return false;
  parse_text_row(line->text, fields_, data_[file_].path, line->position, document);
  return true;
}

std::string JsonlParts::description() const { return concat("JSONL in ", describe_files(data_)); }

}  // namespace titan::text
