#pragma once

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "text/sources/data_file.h"
#include "text/sources/row_order.h"
#include "text/sources/text_row.h"
#include "titan/parquet/parquet_file.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// Parquet files, a unit being a row group.
class ParquetRowGroups final : public DocumentSource {
 public:
  /// `fields` are the names of columns.
  ParquetRowGroups(base::FileSystem& files, std::vector<DataFile> data, RowFields fields);

  /// Opens every file the first time.
  std::optional<std::int64_t> unit_count() override;
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t> order_seed) override;
  bool next(Document& document) override;
  const char* units() const override { return "row groups"; }
  std::string description() const override;

 private:
  struct Row {
    std::array<parquet::Cell, 2> cells;  // text or response, prompt
    std::int64_t number = 0;
    std::size_t bytes() const { return cells[0].bytes.size() + cells[1].bytes.size(); }
  };

  bool find_file(std::int64_t unit);
  void open_file(std::size_t file);
  bool read_row(Row& row);

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

}  // namespace titan::text
