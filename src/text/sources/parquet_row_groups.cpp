#include "text/sources/parquet_row_groups.h"

#include <algorithm>
#include <span>
#include <utility>

#include "text/sources/load_parquet.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {

ParquetRowGroups::ParquetRowGroups(base::FileSystem& files, std::vector<DataFile> data,
                                   RowFields fields)
    : files_(files), data_(std::move(data)), columns_{fields.text_or_response()} {
  TITAN_CHECK(!data_.empty(), "a data set has files");
  if (fields.prompt) columns_.push_back(*fields.prompt);
}

std::optional<std::int64_t> ParquetRowGroups::unit_count() {
  while (first_groups_.size() <= data_.size()) open_file(first_groups_.size() - 1);
  return first_groups_.back();
}

void ParquetRowGroups::open_file(std::size_t file) {
  if (!reader_ || file != file_) {
    reader_ = open_parquet(files_, data_[file], columns_);
    file_ = file;
  }
  if (file + 1 == first_groups_.size()) {
    first_groups_.push_back(first_groups_.back() + reader_->row_groups());
  }
}

// Opens the file of a unit; false when there is no such unit.
bool ParquetRowGroups::find_file(std::int64_t unit) {
  while (first_groups_.back() <= unit) {
    if (first_groups_.size() > data_.size()) return false;
    open_file(first_groups_.size() - 1);
  }
  const auto first = std::upper_bound(first_groups_.begin(), first_groups_.end(), unit) - 1;
  open_file(static_cast<std::size_t>(first - first_groups_.begin()));
  group_ = unit - *first;
  return true;
}

bool ParquetRowGroups::open(std::int64_t unit, std::int64_t skip,
                            std::optional<std::uint64_t> order_seed) {
  TITAN_CHECK(unit >= 0 && skip >= 0, "row groups and rows are counted from 0");
  if (!find_file(unit)) return false;
  row_ = order_seed ? 0 : skip;
  reader_->open_row_group(group_, row_);
  order_.begin(unit, order_seed);
  const std::int64_t passed = skip - row_;
  const auto read = [this](Row& row) { return read_row(row); };
  if (order_.skip(passed, read) < passed) {
    throw RunError(concat("cannot go to row ", skip, " of row group ", group_, " of '",
                          data_[file_].path, "': there are ", row_, " rows"));
  }
  return true;
}

bool ParquetRowGroups::read_row(Row& row) {
  if (!reader_->next(std::span(row.cells).first(columns_.size()))) return false;
  row.number = row_++;
  return true;
}

bool ParquetRowGroups::next(Document& document) {
  Row* row = order_.next([this](Row& next) { return read_row(next); });
  if (!row) return false;
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    if (row->cells[i].is_null) {
      throw BadRow(concat(data_[file_].path, ": row group ", group_, ", row ", row->number, ": '",
                          columns_[i], "' is null"));
    }
  }
  document.tokens.clear();
  document.is_tokens = false;
  document.begins = document.ends = true;
  document.prompt.clear();
  document.text.swap(row->cells[0].bytes);
  if (columns_.size() > 1) document.prompt.swap(row->cells[1].bytes);
  return true;
}

std::string ParquetRowGroups::description() const {
  return concat("row groups of Parquet in ", describe_files(data_));
}

}  // namespace titan::text
