#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace titan::base {
class ReadableFile;
}

namespace titan::parquet {

/// One value of a row.
struct Cell {
  std::string bytes;
  bool is_null = false;
};

/// The rows of some columns of a Parquet file, one row group after the other. Memory holds a page of
/// each column, however large the row group is. Every method throws RunError naming the file when
/// that is damaged or cannot be read. One thread.
class ParquetFile {
 public:
  virtual ~ParquetFile() = default;
  virtual std::int64_t row_groups() const = 0;
  /// Rows of a row group, as the file says.
  virtual std::int64_t rows(std::int64_t row_group) const = 0;
  /// Goes to row `row` of a row group, which may be its end.
  virtual void open_row_group(std::int64_t row_group, std::int64_t row) = 0;
  /// The next row of the open row group, a cell per column. False at its end.
  virtual bool next(std::span<Cell> cells) = 0;
};

/// Opens a file for its `columns`, which hold strings or bytes. Throws RunError when it is no Parquet
/// file or does not have these columns.
using OpenParquetFn = void(std::unique_ptr<base::ReadableFile> file,
                           const std::vector<std::string>& columns,
                           std::unique_ptr<ParquetFile>& opened);

/// The function of that type which `libtitan_parquet.so` exports. Arrow, which it is linked to, is
/// loaded with it.
inline constexpr const char* kOpenParquetName = "titan_open_parquet";

}  // namespace titan::parquet
