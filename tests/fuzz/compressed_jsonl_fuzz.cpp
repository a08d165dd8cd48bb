// Input: a byte that picks gzip or zstd and a row, then a compressed JSONL file. Reading ends in
// rows or a RunError; read by rows, by files, or from a row in the middle it is the same.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "fuzz/memory_file_system.h"
#include "text/sources/sources_of_formats.h"
#include "unit/text/sources/source_checks.h"

namespace {

using namespace titan;

void check(bool condition) {
  if (!condition) std::abort();
}

void read(base::FileSystem& files, const text::DataFile& file, std::uint8_t choice) {
  const auto parts = text::open_jsonl_parts(files, {file}, {}, text::JsonlPart::kFile);
  text::DocumentSource& whole = *parts;
  test::Units units;
  try {
    units = test::read_units(whole);
  } catch (const RunError&) {
    return;  // damaged compression
  }
  const auto source = text::open_jsonl_rows(files, {file}, {});
  text::DocumentSource& rows = *source;
  check(test::join(test::read_units(rows)) == test::join(units));
  const auto row = static_cast<std::int64_t>(choice) % (std::ssize(units[0]) + 1);
  const std::vector<std::string> rest(units[0].begin() + row, units[0].end());
  check(test::read_unit(whole, 0, row) == rest);
  if (!rest.empty()) check(test::read_unit(rows, row) == std::vector{rest.front()});
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  // Longer ones may unpack to so much that trying them takes too long.
  if (size == 0 || size > 2000) return 0;
  test::MemoryFileSystem files(std::string(reinterpret_cast<const char*>(data) + 1, size - 1));
  read(files, {data[0] % 2 == 0 ? "a.jsonl.gz" : "a.jsonl.zst", size - 1}, data[0] / 2);
  return 0;
}
