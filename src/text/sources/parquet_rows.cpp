#include "text/sources/sources_of_formats.h"

#include <algorithm>
#include <array>
#include <limits>
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

/// How many rows of a row group are a unit.
constexpr std::int64_t kWholeGroup = std::numeric_limits<std::int64_t>::max();
constexpr std::int64_t kBlock = 64;
/// A rank needs a good many blocks for a good mix.
constexpr std::int64_t kBlocksForARank = 16;

class ParquetRows final : public DocumentSource {
 public:
  ParquetRows(base::FileSystem& files, std::vector<DataFile> data, const RowFields& fields)
      : files_(files), data_(std::move(data)), columns_{fields.text_or_response()} {
    TITAN_CHECK(!data_.empty(), "a data set has files");
    if (fields.prompt) columns_.push_back(*fields.prompt);
  }

  /// "rows", "blocks" or "row groups". Before the first unit is opened. False for another word.
  bool set_units(const std::string& units) {
    if (units != "rows" && units != "blocks" && units != "row groups") return false;
    rows_per_unit_ = units == "rows" ? 1 : units == "blocks" ? kBlock : kWholeGroup;
    units_found_ = 0;
    for (Group& group : groups_) {
      group.first_unit = units_found_;
      units_found_ += units_of(group.rows);
    }
    return true;
  }

  /// In random order row groups are quickest, where there is one with rows for every rank; looking up a
  /// row far behind in its group takes the time of reading up to it.
  std::string units_to_shuffle(std::int64_t ranks) {
    find_all_groups();
    std::int64_t rows = 0;
    bool has_empty = false;
    for (const Group& group : groups_) {
      rows += group.rows;
      has_empty = has_empty || group.rows == 0;
    }
    if (!has_empty && std::ssize(groups_) >= ranks) return "row groups";
    return rows / ranks >= kBlock * kBlocksForARank ? "blocks" : "rows";
  }

  /// Opens every file the first time.
  std::optional<std::int64_t> unit_count() override {
    find_all_groups();
    return units_found_;
  }

  bool open(std::int64_t unit, std::int64_t skip,
            std::optional<std::uint64_t> order_seed) override {
    TITAN_CHECK(unit >= 0 && skip >= 0, "units and rows are counted from 0");
    const Group* group = find_group(unit);
    if (!group) return false;
    const std::int64_t begin =
        rows_per_unit_ == kWholeGroup ? 0 : (unit - group->first_unit) * rows_per_unit_;
    end_ = std::min(group->rows - begin, rows_per_unit_) + begin;
    go_to(*group, order_seed ? begin : std::min(begin + skip, end_));
    order_.begin(unit, order_seed);
    const std::int64_t passed = order_seed ? skip : skip - (row_ - begin);
    const auto read = [this](Row& row) { return read_row(row); };
    if (order_.skip(passed, read) < passed) {
      throw RunError(concat("cannot go to row ", skip, " of ", units(), " number ", unit, " in '",
                            data_[file_].path, "': there are ", end_ - begin, " rows"));
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

  bool unit_is_document() const override { return rows_per_unit_ == 1; }
  const char* units() const override {
    return rows_per_unit_ == 1 ? "rows" : rows_per_unit_ == kBlock ? "blocks" : "row groups";
  }
  std::string description() const override {
    return concat("row groups of Parquet in ", describe_files(data_));
  }

 private:
  struct Row {
    std::array<parquet::Cell, 2> cells;  // text or response, prompt
    std::int64_t number = 0;             // in its group
    std::size_t bytes() const { return cells[0].bytes.size() + cells[1].bytes.size(); }
  };

  struct Group {
    std::size_t file = 0;
    std::int64_t number = 0;  // in the file
    std::int64_t rows = 0;
    std::int64_t first_unit = 0;
  };

  std::int64_t units_of(std::int64_t rows) const {
    if (rows_per_unit_ == kWholeGroup) return 1;
    return rows / rows_per_unit_ + (rows % rows_per_unit_ > 0 ? 1 : 0);
  }

  void find_all_groups() {
    while (files_found_ < data_.size()) open_file(files_found_);
  }

  /// Nothing when there is no such unit; good until a file is opened.
  const Group* find_group(std::int64_t unit) {
    while (units_found_ <= unit) {
      if (files_found_ == data_.size()) return nullptr;
      open_file(files_found_);
    }
    // The last group that begins at or before the unit: those before it at the same place are empty.
    const auto behind = std::ranges::upper_bound(groups_, unit, {}, &Group::first_unit);
    return &*(behind - 1);
  }

  void open_file(std::size_t file) {
    if (!reader_ || file != file_) {
      reader_ = open_parquet(files_, data_[file], columns_);
      file_ = file;
      is_at_row_ = false;
    }
    if (file != files_found_) return;
    for (std::int64_t number = 0; number < reader_->row_groups(); ++number) {
      groups_.push_back({file, number, reader_->rows(number), units_found_});
      units_found_ += units_of(groups_.back().rows);
    }
    ++files_found_;
  }

  /// Units in a row are read on without looking up their place.
  void go_to(const Group& group, std::int64_t row) {
    if (is_at_row_ && group.file == file_ && group.number == group_ && row == row_) return;
    open_file(group.file);
    reader_->open_row_group(group.number, row);
    group_ = group.number;
    row_ = row;
    is_at_row_ = true;
  }

  bool read_row(Row& row) {
    if (row_ == end_ || !reader_->next(std::span(row.cells).first(columns_.size()))) return false;
    row.number = row_++;
    return true;
  }

  base::FileSystem& files_;
  std::vector<DataFile> data_;
  std::vector<std::string> columns_;
  std::int64_t rows_per_unit_ = 1;
  std::vector<Group> groups_;  // of the files that were opened so far
  std::int64_t units_found_ = 0;
  std::size_t files_found_ = 0;
  std::unique_ptr<parquet::ParquetFile> reader_;  // of data_[file_]
  std::size_t file_ = 0;
  std::int64_t group_ = 0;  // the open one, in its file
  std::int64_t row_ = 0;    // the next one to be read, in the group
  std::int64_t end_ = 0;    // of the open unit, in the group
  bool is_at_row_ = false;  // the reader stands at row_ of group_
  RowOrder<Row> order_;
};

}  // namespace

std::unique_ptr<DocumentSource> open_parquet_rows(base::FileSystem& files,
                                                  std::vector<DataFile> data,
                                                  const RowFields& fields,
                                                  const ParquetUnits& units) {
  auto source = std::make_unique<ParquetRows>(files, std::move(data), fields);
  std::string chosen = "rows";
  if (units.units) {
    chosen = *units.units;
  } else if (units.shuffle) {
    chosen = source->units_to_shuffle(units.ranks);
  }
  if (!source->set_units(chosen)) return nullptr;
  return source;
}

}  // namespace titan::text
