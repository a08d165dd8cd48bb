// Input: a byte that picks a row and a size of blocks, then a JSONL file. Reading ends in rows and
// bad rows or in a RunError; rows found by seeking equal those read in order; blocks, however small,
// hold the same rows.

#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "fuzz/memory_file_system.h"
#include "text/sources/sources_of_formats.h"
#include "unit/text/sources/source_checks.h"

namespace {

using namespace titan;
using Rows = std::vector<std::string>;

void check(bool condition) {
  if (!condition) std::abort();
}

// Bad rows in blocks have another place than those in files.
Rows without_places(const test::Units& units) {
  Rows rows = test::join(units);
  for (std::string& row : rows) {
    if (row.starts_with("bad: ")) row = "bad";
  }
  return rows;
}

void read(base::FileSystem& files, const std::vector<text::DataFile>& data, std::uint8_t choice) {
  const auto source = text::open_jsonl_rows(files, data, {});
  text::DocumentSource& rows = *source;
  const test::Units units = test::read_units(rows);
  check(rows.unit_count() == std::ssize(units));
  if (!units.empty()) {
    const auto row = static_cast<std::int64_t>(choice % units.size());
    const auto others = text::open_jsonl_rows(files, data, {});
    check(test::read_unit(*others, row) == units[static_cast<std::size_t>(row)]);
    check(test::read_unit(rows, row) == units[static_cast<std::size_t>(row)]);
  }

  const auto parts =
      text::open_jsonl_parts(files, data, {}, text::JsonlPart::kBlock, 1 + choice % 40);
  text::DocumentSource& blocks = *parts;
  check(without_places(test::read_units(blocks)) == without_places(units));
  const test::Units shuffled = test::read_units(blocks, choice);
  check(test::join(shuffled).size() == units.size());
  if (units.size() < 20) check(test::reopens_everywhere(blocks, shuffled, choice));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  test::MemoryFileSystem files(std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  read(files, {{"a", size - 1}, {"b", size - 1}}, data[0]);
  return 0;
}
