// Input: a byte that picks the format, then a file of tokens. For Megatron another byte, times 2,
// is the size of the index, which comes first. Opening and reading ends in tokens or a RunError;
// every unit opened in its middle goes on as when it is read from its front.

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "fuzz/memory_file_system.h"
#include "titan/text/sources/document_source.h"
#include "unit/text/sources/source_checks.h"

namespace {

using namespace titan;
using config::DataFormat;

void check(bool condition) {
  if (!condition) std::abort();
}

void read(base::FileSystem& files, DataFormat format) {
  text::SourceOptions options;
  options.path = "a.bin";
  options.format = format;
  options.tokens_per_window = 5;
  test::Units units;
  std::unique_ptr<text::DocumentSource> source;
  try {
    source = text::open_source(files, options);
    units = test::read_units(*source);
  } catch (const RunError&) {
    return;
  }
  check(source->unit_count() == std::ssize(units));
  check(test::reopens_everywhere(*source, units));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  constexpr DataFormat kFormats[] = {DataFormat::kMegatron, DataFormat::kLlmC, DataFormat::kU16,
                                     DataFormat::kU32, DataFormat::kAuto};
  const DataFormat format = kFormats[data[0] % std::size(kFormats)];
  std::string bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (format != DataFormat::kMegatron) {
    test::MemoryFileSystem files(std::map<std::string, std::string>{{"a.bin", bytes}});
    read(files, format);
    return 0;
  }
  const std::size_t index = std::min<std::size_t>(bytes.size() - 1, data[1] * std::size_t{2});
  test::MemoryFileSystem files(std::map<std::string, std::string>{
      {"a.idx", bytes.substr(1, index)}, {"a.bin", bytes.substr(1 + index)}});
  read(files, format);
  return 0;
}
