// Input: a .metadata file. Reading ends in metadata or in a RunError; metadata that is written is
// read back as the same.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/formats/dcp/dcp_metadata.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace titan;
  formats::DcpMetadata metadata;
  try {
    metadata = formats::read_dcp_metadata({reinterpret_cast<const char*>(data), size}, "a");
  } catch (const RunError&) {
    return 0;
  }
  const std::string bytes = formats::write_dcp_metadata(metadata);
  if (!(formats::read_dcp_metadata(bytes, "b") == metadata)) std::abort();
  return 0;
}
