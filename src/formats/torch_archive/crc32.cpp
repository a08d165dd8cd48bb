#include "titan/formats/torch_archive/crc32.h"

#include <zlib.h>

namespace titan::formats {

std::uint32_t crc32(std::span<const char> bytes, std::uint32_t so_far) {
  return static_cast<std::uint32_t>(
      ::crc32_z(so_far, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

std::uint32_t join_crc32(std::uint32_t first, std::uint32_t second, std::uint64_t second_size) {
  return static_cast<std::uint32_t>(
      ::crc32_combine(first, second, static_cast<z_off_t>(second_size)));
}

}  // namespace titan::formats
