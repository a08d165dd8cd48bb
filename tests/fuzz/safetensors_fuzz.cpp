// Input: a safetensors file. Reading ends in tensors that fill it, each where it says to be, or in a
// RunError. Also read as an index, whose files lie beside it.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "fuzz/memory_file_system.h"
#include "titan/base/errors.h"
#include "titan/formats/safetensors/safetensors.h"

namespace {

using namespace titan;
using formats::SafetensorsFile;
using formats::SafetensorsTensor;

void check(bool condition) {
  if (!condition) std::abort();
}

/// Reads every tensor to its last byte.
void read_all(const SafetensorsFile& file, std::size_t file_size) {
  std::uint64_t bytes = 0;
  for (const SafetensorsTensor& tensor : file.tensors()) {
    check(tensor.start <= file_size && tensor.bytes() <= file_size - tensor.start);
    std::string content(tensor.bytes(), '\0');
    base::read_exactly(file.file(), tensor.start, content);
    bytes += tensor.bytes();
  }
  check(bytes <= file_size);
}

void read_index(base::FileSystem& files) {
  try {
    for (const auto& [name, file] : formats::read_safetensors_index(files, "a").file_by_name) {
      check(file.find('/') == std::string::npos && file != "..");
    }
  } catch (const RunError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::MemoryFileSystem files(std::string(reinterpret_cast<const char*>(data), size));
  try {
    read_all(SafetensorsFile(files, "a"), size);
  } catch (const RunError&) {
  }
  read_index(files);
  return 0;
}
