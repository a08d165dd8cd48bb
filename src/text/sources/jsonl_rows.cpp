#include "text/sources/jsonl_rows.h"

#include <utility>

#include "titan/base/errors.h"

namespace titan::text {

JsonlRows::JsonlRows(base::FileSystem& files, std::vector<DataFile> data, Options options)
    : options_(std::move(options)), rows_(files, std::move(data)) {}

std::optional<std::int64_t> JsonlRows::unit_count() {
  if (!options_.is_counted) return std::nullopt;
  return rows_.count();
}

bool JsonlRows::open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t>) {
  TITAN_CHECK(unit >= 0 && skip >= 0, "rows are counted from 0");
  has_line_ = rows_.seek(unit) && rows_.next(line_);
  if (!has_line_) return false;
  if (skip > 1)
    throw RunError(concat("cannot go to document ", skip, " of row ", unit, ": it is one"));
  has_line_ = skip == 0;
  return true;
}

bool JsonlRows::next(Document& document) {
  if (!has_line_) return false;
  has_line_ = false;
  parse_text_row(line_, options_.fields, rows_.path(), rows_.position(), document);
  return true;
}

std::string JsonlRows::description() const {
  return concat("JSONL in ", describe_files(rows_.files()));
}

}  // namespace titan::text
