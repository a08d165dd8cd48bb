#include "titan/text/sources/document_source.h"

namespace titan::text {

std::int64_t DocumentSource::count_units() {
  const std::optional<std::int64_t> count = unit_count();
  TITAN_CHECK(count, "a source that has to be read to be counted says how");
  return *count;
}

std::int64_t DocumentSource::pass_over(std::int64_t documents) {
  Document passed;
  for (std::int64_t i = 0; i < documents; ++i) {
    try {
      if (!next(passed)) return i;
    } catch (const BadRow&) {
    }
  }
  return documents;
}

}  // namespace titan::text
