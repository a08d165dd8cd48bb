#pragma once

#include <string_view>
#include <vector>

#include "text/sources/text_row.h"
#include "text/sources/text_rows.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// JSONL, a unit being a row.
class JsonlRows final : public DocumentSource {
 public:
  struct Options {
    RowFields fields;
    /// Deals rows to ranks one by one: for files in which a row far behind takes long to find.
    bool is_interleaved = false;
    /// Whether a pass over all files may be taken for the number of rows.
    bool is_counted = true;
  };

  JsonlRows(base::FileSystem& files, std::vector<DataFile> data, Options options);

  std::optional<std::int64_t> unit_count() override;
  bool is_interleaved() const override { return options_.is_interleaved; }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t> order_seed) override;
  bool next(Document& document) override;
  std::optional<double> fraction_read() const override { return rows_.fraction_read(); }
  const char* units() const override { return "rows"; }
  std::string description() const override;

 private:
  Options options_;
  TextRows rows_;
  std::string_view line_;  // of the open unit
  bool has_line_ = false;  // that was not handed out
};

}  // namespace titan::text
