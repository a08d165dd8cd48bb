#pragma once

#include <cstdint>
#include <string_view>

namespace titan::components {

/// The CRC-32C (Castagnoli) checksum of RFC 3720, section B.4.
std::uint32_t crc32c(std::string_view bytes);

}  // namespace titan::components
