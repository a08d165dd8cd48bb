#pragma once

#include <arrow/memory_pool.h>
#include <parquet/column_reader.h>
#include <parquet/file_reader.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "titan/base/file_system.h"
#include "titan/parquet/parquet_file.h"

namespace titan::parquet {

/// A column of the open row group, read a batch of values at a time. The values of a batch lie in
/// Arrow's page and are copied one by one when they are asked for.
class ArrowColumn {
 public:
  ArrowColumn(std::shared_ptr<::parquet::ColumnReader> reader, bool has_nulls);
  /// Passes over values. Throws ParquetException, also when there are fewer.
  void skip(std::int64_t values);
  /// Throws ParquetException, also at the end.
  void next(Cell& cell);

 private:
  void read_batch();

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
                   const std::vector<std::string>& columns);

  std::int64_t row_groups() const override;
  std::int64_t rows(std::int64_t row_group) const override;
  void open_row_group(std::int64_t row_group, std::int64_t row) override;
  bool next(std::span<Cell> cells) override;

 private:
  int find_column(const std::string& name) const;

  std::string path_;
  arrow::CappedMemoryPool pool_;
  std::unique_ptr<::parquet::ParquetFileReader> reader_;
  std::vector<int> column_numbers_;
  std::shared_ptr<::parquet::RowGroupReader> group_;
  std::vector<ArrowColumn> columns_;  // of group_
  std::int64_t rows_left_ = 0;        // in group_
};

}  // namespace titan::parquet
