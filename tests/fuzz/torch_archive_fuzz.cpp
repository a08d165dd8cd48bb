// Input: a torch.save file. Reading ends in an object or in a RunError; what it says to be tensors
// lies within the file.

#include <cstdint>
#include <cstdlib>
#include <string>

#include "fuzz/memory_file_system.h"
#include "titan/base/errors.h"
#include "titan/formats/torch_archive/torch_archive.h"

namespace {

using namespace titan;

void check_tensors(const formats::TorchArchive& archive, const formats::PickleValue& value,
                   std::size_t file_size) {
  if (const auto tensor = archive.tensor(value)) {
    if (tensor->storage_start + tensor->storage_bytes > file_size) std::abort();
    if (tensor->is_contiguous() && tensor->data_start() + tensor->data_bytes() > file_size) {
      std::abort();
    }
    archive.check_storage(*tensor);
  } else if (const auto* dict = value.get_if<formats::PickleDict>()) {
    for (const auto& pair : dict->items) check_tensors(archive, pair.second, file_size);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  test::MemoryFileSystem files(std::string(reinterpret_cast<const char*>(data), size));
  const auto file = files.open_for_reading("a");
  try {
    const formats::TorchArchive archive(*file, 0, size, {.max_depth = 100, .max_parts = 20000});
    check_tensors(archive, archive.object(), size);
  } catch (const RunError&) {
  }
  return 0;
}
