#include "parquet/arrow_parquet_file.h"

#include <parquet/exception.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include <algorithm>
#include <exception>
#include <new>
#include <utility>

#include "parquet/arrow_file.h"
#include "titan/base/errors.h"

namespace titan::parquet {
namespace {

constexpr std::int64_t kBatchRows = 1000;
constexpr std::int64_t kReadBuffer = 1 << 20;
// A page of a file may unpack to 2 GiB; with its compressed bytes and a dictionary that fits twice.
constexpr std::int64_t kMaxMemory = std::int64_t{8} << 30;

// Runs `action`; what Arrow throws becomes a RunError with the path.
template <class Action>
auto translate_errors(const std::string& path, const Action& action) {
  try {
    return action();
  } catch (const RunError&) {
    throw;
  } catch (const std::bad_alloc&) {
    throw RunError(concat("'", path, "' cannot be read as Parquet: not enough memory"));
  } catch (const std::exception& error) {
    throw RunError(concat("'", path, "' cannot be read as Parquet: ", error.what()));
  }
}

[[noreturn]] void fail_short() {
  throw ::parquet::ParquetException("a column has fewer values than the row group has rows");
}

}  // namespace

ArrowColumn::ArrowColumn(std::shared_ptr<::parquet::ColumnReader> reader, bool has_nulls)
    : reader_(std::move(reader)),
      values_reader_(dynamic_cast<::parquet::ByteArrayReader&>(*reader_)),
      has_nulls_(has_nulls),
      levels_(kBatchRows),
      values_(kBatchRows) {}

void ArrowColumn::skip(std::int64_t values) {
  while (values > 0) {
    const std::int64_t skipped = values_reader_.Skip(values);
    if (skipped <= 0) fail_short();
    values -= skipped;
  }
}

void ArrowColumn::next(Cell& cell) {
  if (at_ == count_) read_batch();
  cell.is_null = has_nulls_ && levels_[static_cast<std::size_t>(at_)] == 0;
  ++at_;
  if (cell.is_null) {
    cell.bytes.clear();
    return;
  }
  const ::parquet::ByteArray& value = values_[next_value_++];
  cell.bytes.assign(reinterpret_cast<const char*>(value.ptr), value.len);
}

void ArrowColumn::read_batch() {
  std::int64_t values = 0;
  at_ = count_ = 0;
  next_value_ = 0;
  if (values_reader_.HasNext()) {
    count_ = values_reader_.ReadBatch(kBatchRows, levels_.data(), nullptr, values_.data(), &values);
  }
  if (count_ == 0) fail_short();
  const std::int64_t nulls =
      has_nulls_ ? std::count(levels_.begin(), levels_.begin() + count_, std::int16_t{0}) : 0;
  if (values != count_ - nulls) {
    throw ::parquet::ParquetException("a page has another number of values than it says");
  }
}

ArrowParquetFile::ArrowParquetFile(std::unique_ptr<base::ReadableFile> file,
                                   const std::vector<std::string>& columns)
    : path_(file->path()), pool_(arrow::default_memory_pool(), kMaxMemory) {
  translate_errors(path_, [&] {
    ::parquet::ReaderProperties properties(&pool_);
    properties.enable_buffered_stream();  // else a column of a row group is read whole
    properties.set_buffer_size(kReadBuffer);
    properties.set_page_checksum_verification(true);  // where the file has checksums
    reader_ = ::parquet::ParquetFileReader::Open(std::make_shared<ArrowFile>(std::move(file)),
                                                 properties);
    for (const std::string& column : columns) column_numbers_.push_back(find_column(column));
  });
}

int ArrowParquetFile::find_column(const std::string& name) const {
  const ::parquet::SchemaDescriptor& schema = *reader_->metadata()->schema();
  std::string known;
  for (int i = 0; i < schema.num_columns(); ++i) {
    const ::parquet::ColumnDescriptor& column = *schema.Column(i);
    // A column inside a list or a structure has a longer path.
    if (column.path()->ToDotVector().size() == 1 && column.name() == name) {
      if (column.physical_type() == ::parquet::Type::BYTE_ARRAY &&
          column.max_repetition_level() == 0) {
        return i;
      }
      throw RunError(concat("the column '", name, "' of '", path_, "' does not hold strings but ",
                            ::parquet::TypeToString(column.physical_type())));
    }
    if (i < 20) known += concat(i == 0 ? "" : ", ", column.path()->ToDotString());
  }
  throw RunError(concat("'", path_, "' has no column '", name, "'; its columns: ", known,
                        schema.num_columns() > 20 ? ", ..." : ""));
}

std::int64_t ArrowParquetFile::row_groups() const { return reader_->metadata()->num_row_groups(); }

std::int64_t ArrowParquetFile::rows(std::int64_t row_group) const {
  return translate_errors(path_, [&] {
    return reader_->metadata()->RowGroup(static_cast<int>(row_group))->num_rows();
  });
}

void ArrowParquetFile::open_row_group(std::int64_t row_group, std::int64_t row) {
  TITAN_CHECK(row_group >= 0 && row_group < row_groups(), "row group ", row_group);
  const std::int64_t there = rows(row_group);
  if (row < 0 || row > there) {
    throw RunError(concat("cannot go to row ", row, " of row group ", row_group, " of '", path_,
                          "': there are ", there, " rows"));
  }
  translate_errors(path_, [&] {
    columns_.clear();
    group_ = reader_->RowGroup(static_cast<int>(row_group));
    for (const int number : column_numbers_) {
      const bool has_nulls =
          reader_->metadata()->schema()->Column(number)->max_definition_level() > 0;
      columns_.emplace_back(group_->Column(number), has_nulls);
      columns_.back().skip(row);
    }
  });
  rows_left_ = there - row;
}

bool ArrowParquetFile::next(std::span<Cell> cells) {
  TITAN_CHECK(cells.size() == column_numbers_.size(), "a cell per column");
  if (rows_left_ <= 0) return false;
  translate_errors(path_, [&] {
    for (std::size_t i = 0; i < columns_.size(); ++i) columns_[i].next(cells[i]);
  });
  --rows_left_;
  return true;
}

}  // namespace titan::parquet

extern "C" void titan_open_parquet(std::unique_ptr<titan::base::ReadableFile> file,
                                   const std::vector<std::string>& columns,
                                   std::unique_ptr<titan::parquet::ParquetFile>& opened) {
  opened = std::make_unique<titan::parquet::ArrowParquetFile>(std::move(file), columns);
}
