#include "text/sources/sources_of_formats.h"

#include <algorithm>
#include <array>
#include <optional>
#include <span>
#include <utility>

#include "text/sources/row_order.h"
#include "titan/base/errors.h"
#include "titan/base/extension.h"
#include "titan/base/file_system.h"
#include "titan/parquet/parquet_file.h"

namespace titan::text {
namespace {

/// Opens a Parquet file; the first time in a process this loads `libtitan_parquet.so`, which lies
/// beside the program, and Arrow with it. Throws RunError when that cannot be, saying why, or when
/// the file cannot be read.
std::unique_ptr<parquet::ParquetFile> open_parquet(base::FileSystem& files, const DataFile& file,
                                                   const std::vector<std::string>& columns) {
  // Tried again after an exception.
  static auto* const open = reinterpret_cast<parquet::OpenParquetFn*>(
      base::load_extension({.library = "libtitan_parquet.so",
                            .function = parquet::kOpenParquetName,
                            .reads = "Parquet files",
                            .needs = "Arrow C++"}));
  std::unique_ptr<parquet::ParquetFile> opened;
  open(open_data_file(files, file), columns, opened);
  return opened;
}

class ParquetRowGroups final : public DocumentSource {
 public:
  ParquetRowGroups(base::FileSystem& files, std::vector<DataFile> data, RowFields fields)
      : files_(files), data_(std::move(data)), columns_{fields.text_or_response()} {
    TITAN_CHECK(!data_.empty(), "a data set has files");
    if (fields.prompt) columns_.push_back(*fields.prompt);
  }

  /// Opens every file the first time.
  std::optional<std::int64_t> unit_count() override {
    while (first_groups_.size() <= data_.size()) open_file(first_groups_.size() - 1);
    return first_groups_.back();
  }

  bool open(std::int64_t unit, std::int64_t skip,
            std::optional<std::uint64_t> order_seed) override {
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

  bool next(Document& document) override {
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

  std::int64_t pass_over(std::int64_t documents) override {
    return order_.skip(documents, [this](Row& next) { return read_row(next); });
  }

  bool unit_is_document() const override { return false; }
  const char* units() const override { return "row groups"; }
  std::string description() const override {
    return concat("row groups of Parquet in ", describe_files(data_));
  }

 private:
  struct Row {
    std::array<parquet::Cell, 2> cells;  // text or response, prompt
    std::int64_t number = 0;
    std::size_t bytes() const { return cells[0].bytes.size() + cells[1].bytes.size(); }
  };

  // Opens the file of a unit; false when there is no such unit.
  bool find_file(std::int64_t unit) {
    while (first_groups_.back() <= unit) {
      if (first_groups_.size() > data_.size()) return false;
      open_file(first_groups_.size() - 1);
    }
    const auto first = std::upper_bound(first_groups_.begin(), first_groups_.end(), unit) - 1;
    open_file(static_cast<std::size_t>(first - first_groups_.begin()));
    group_ = unit - *first;
    return true;
  }

  void open_file(std::size_t file) {
    if (!reader_ || file != file_) {
      reader_ = open_parquet(files_, data_[file], columns_);
      file_ = file;
    }
    if (file + 1 == first_groups_.size()) {
      first_groups_.push_back(first_groups_.back() + reader_->row_groups());
    }
  }

  bool read_row(Row& row) {
    if (!reader_->next(std::span(row.cells).first(columns_.size()))) return false;
    row.number = row_++;
    return true;
  }

  base::FileSystem& files_;
  std::vector<DataFile> data_;
  std::vector<std::string> columns_;
  std::vector<std::int64_t> first_groups_{0};  // of the files that were opened so far, and the next
  std::unique_ptr<parquet::ParquetFile> reader_;  // of data_[file_]
  std::size_t file_ = 0;
  std::int64_t group_ = 0;  // the open one, in its file
  std::int64_t row_ = 0;    // the next one to be read, in the group
  RowOrder<Row> order_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_parquet_row_groups(base::FileSystem& files,
                                                        std::vector<DataFile> data,
                                                        const RowFields& fields) {
  return std::make_unique<ParquetRowGroups>(files, std::move(data), fields);
}

}  // namespace titan::text
