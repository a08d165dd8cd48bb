#include <arrow/buffer.h>
#include <arrow/io/interfaces.h>
#include <arrow/memory_pool.h>
#include <arrow/result.h>
#include <arrow/status.h>
#include <parquet/column_reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/schema.h>

#include <algorithm>
#include <cstdint>
#include <exception>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/parquet/parquet_file.h"

namespace titan::parquet {
namespace {

/// A file of ours as Arrow reads one.
class ArrowFile final : public arrow::io::RandomAccessFile {
 public:
  explicit ArrowFile(std::unique_ptr<base::ReadableFile> file) : file_(std::move(file)) {}

  arrow::Status Close() override {
    file_.reset();
    return arrow::Status::OK();
  }

  bool closed() const override { return file_ == nullptr; }
  arrow::Result<std::int64_t> Tell() const override { return position_; }
  arrow::Status Seek(std::int64_t position) override {
    if (position < 0) return arrow::Status::IOError("a place before the file is asked for");
    position_ = position;
    return arrow::Status::OK();
  }

  arrow::Result<std::int64_t> GetSize() override {
    if (closed()) return arrow::Status::IOError("the file is closed");
    return static_cast<std::int64_t>(file_->size());
  }

  arrow::Result<std::int64_t> Read(std::int64_t bytes, void* out) override {
    ARROW_ASSIGN_OR_RAISE(const std::int64_t count, ReadAt(position_, bytes, out));
    position_ += count;
    return count;
  }

  arrow::Result<std::shared_ptr<arrow::Buffer>> Read(std::int64_t bytes) override {
    ARROW_ASSIGN_OR_RAISE(auto buffer, ReadAt(position_, bytes));
    position_ += buffer->size();
    return buffer;
  }

  arrow::Result<std::int64_t> ReadAt(std::int64_t position, std::int64_t bytes,
                                     void* out) override {
    if (closed()) return arrow::Status::IOError("the file is closed");
    if (position < 0 || bytes < 0)
      return arrow::Status::IOError("a place before the file is asked for");
    try {
      const std::span<char> span(static_cast<char*>(out), static_cast<std::size_t>(bytes));
      return static_cast<std::int64_t>(file_->read_at(static_cast<std::uint64_t>(position), span));
    } catch (const RunError& error) {
      return arrow::Status::IOError(error.what());
    }
  }

  arrow::Result<std::shared_ptr<arrow::Buffer>> ReadAt(std::int64_t position,
                                                       std::int64_t bytes) override {
    if (closed()) return arrow::Status::IOError("the file is closed");
    // What a damaged file asks for may be more than there is: only what can be read gets memory.
    const auto size = static_cast<std::int64_t>(file_->size());
    const std::int64_t there = std::clamp<std::int64_t>(size - std::min(position, size), 0, size);
    ARROW_ASSIGN_OR_RAISE(
        auto buffer, arrow::AllocateResizableBuffer(std::clamp<std::int64_t>(bytes, 0, there)));
    ARROW_ASSIGN_OR_RAISE(const std::int64_t count,
                          ReadAt(position, buffer->size(), buffer->mutable_data()));
    ARROW_RETURN_NOT_OK(buffer->Resize(count, /*shrink_to_fit=*/false));
    return std::shared_ptr<arrow::Buffer>(std::move(buffer));
  }

 private:
  std::unique_ptr<base::ReadableFile> file_;
  std::int64_t position_ = 0;
};

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

/// A column of the open row group, read a batch of values at a time. The values of a batch lie in
/// Arrow's page and are copied one by one when they are asked for.
class ArrowColumn {
 public:
  ArrowColumn(std::shared_ptr<::parquet::ColumnReader> reader, bool has_nulls)
      : reader_(std::move(reader)),
        values_reader_(dynamic_cast<::parquet::ByteArrayReader&>(*reader_)),
        has_nulls_(has_nulls),
        levels_(kBatchRows),
        values_(kBatchRows) {}

  /// Passes over values. Throws ParquetException, also when there are fewer.
  void skip(std::int64_t values) {
    while (values > 0) {
      const std::int64_t skipped = values_reader_.Skip(values);
      if (skipped <= 0) fail_short();
      values -= skipped;
    }
  }

  /// Throws ParquetException, also at the end.
  void next(Cell& cell) {
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

 private:
  void read_batch() {
    std::int64_t values = 0;
    at_ = count_ = 0;
    next_value_ = 0;
    if (values_reader_.HasNext()) {
      count_ =
          values_reader_.ReadBatch(kBatchRows, levels_.data(), nullptr, values_.data(), &values);
    }
    if (count_ == 0) fail_short();
    const std::int64_t nulls =
        has_nulls_ ? std::count(levels_.begin(), levels_.begin() + count_, std::int16_t{0}) : 0;
    if (values != count_ - nulls) {
      throw ::parquet::ParquetException("a page has another number of values than it says");
    }
  }

  std::shared_ptr<::parquet::ColumnReader> reader_;
  ::parquet::ByteArrayReader& values_reader_;
  bool has_nulls_;
  std::vector<std::int16_t> levels_;  // 0 for null, where nulls may be
  std::vector<::parquet::ByteArray> values_;
  std::int64_t count_ = 0;      // of the batch
  std::int64_t at_ = 0;         // in the batch
  std::size_t next_value_ = 0;  // in values_, which leave out nulls
};

/// A Parquet file as Arrow C++ reads it.
class ArrowParquetFile final : public ParquetFile {
 public:
  ArrowParquetFile(std::unique_ptr<base::ReadableFile> file,
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

  std::int64_t row_groups() const override { return reader_->metadata()->num_row_groups(); }

  std::int64_t rows(std::int64_t row_group) const override {
    return translate_errors(path_, [&] {
      return reader_->metadata()->RowGroup(static_cast<int>(row_group))->num_rows();
    });
  }

  void open_row_group(std::int64_t row_group, std::int64_t row) override {
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

  bool next(std::span<Cell> cells) override {
    TITAN_CHECK(cells.size() == column_numbers_.size(), "a cell per column");
    if (rows_left_ <= 0) return false;
    translate_errors(path_, [&] {
      for (std::size_t i = 0; i < columns_.size(); ++i) columns_[i].next(cells[i]);
    });
    --rows_left_;
    return true;
  }

 private:
  int find_column(const std::string& name) const {
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

  std::string path_;
  arrow::CappedMemoryPool pool_;
  std::unique_ptr<::parquet::ParquetFileReader> reader_;
  std::vector<int> column_numbers_;
  std::shared_ptr<::parquet::RowGroupReader> group_;
  std::vector<ArrowColumn> columns_;  // of group_
  std::int64_t rows_left_ = 0;        // in group_
};

}  // namespace

}  // namespace titan::parquet

extern "C" void titan_open_parquet(std::unique_ptr<titan::base::ReadableFile> file,
                                   const std::vector<std::string>& columns,
                                   std::unique_ptr<titan::parquet::ParquetFile>& opened) {
  opened = std::make_unique<titan::parquet::ArrowParquetFile>(std::move(file), columns);
}
