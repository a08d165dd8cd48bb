#include "text/sources/sources_of_formats.h"

#include <string_view>
#include <utility>

#include "text/sources/text_rows.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

class JsonlRows final : public DocumentSource {
 public:
  JsonlRows(base::FileSystem& files, std::vector<DataFile> data, JsonlRowsOptions options)
      : options_(std::move(options)), rows_(files, std::move(data)) {}

  std::optional<std::int64_t> unit_count() override {
    if (!options_.is_counted) return std::nullopt;
    return rows_.count();
  }

  std::int64_t count_units() override {
    has_line_ = false;
    return rows_.count();
  }

  bool is_interleaved() const override { return options_.is_interleaved; }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t>) override {
    TITAN_CHECK(unit >= 0 && skip >= 0, "rows are counted from 0");
    has_line_ = rows_.seek(unit) && rows_.next(line_);
    if (!has_line_) return false;
    if (skip > 1)
      throw RunError(concat("cannot go to document ", skip, " of row ", unit, ": it is one"));
    has_line_ = skip == 0;
    return true;
  }

  bool next(Document& document) override {
    if (!has_line_) return false;
    has_line_ = false;
    parse_text_row(line_, options_.fields, rows_.path(), rows_.position(), document);
    return true;
  }

  std::optional<double> fraction_read() const override { return rows_.fraction_read(); }
  bool unit_is_document() const override { return true; }
  const char* units() const override { return "rows"; }
  std::string description() const override {
    return concat("JSONL in ", describe_files(rows_.files()));
  }

 private:
  JsonlRowsOptions options_;
  TextRows rows_;
  std::string_view line_;  // of the open unit
  bool has_line_ = false;  // that was not handed out
};

}  // namespace

std::unique_ptr<DocumentSource> open_jsonl_rows(base::FileSystem& files, std::vector<DataFile> data,
                                                JsonlRowsOptions options) {
  return std::make_unique<JsonlRows>(files, std::move(data), std::move(options));
}

}  // namespace titan::text
