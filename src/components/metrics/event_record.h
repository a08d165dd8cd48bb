#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "components/metrics/scalars.h"

namespace titan::components {

/// The CRC-32C (Castagnoli) checksum of RFC 3720, section B.4.
std::uint32_t crc32c(std::string_view bytes);

/// `payload` as a record of a TFRecord file: its length (8 bytes), the masked CRC-32C of those
/// bytes, the payload, its masked CRC-32C.
std::string tfrecord(std::string_view payload);

/// The serialised `tensorboard.Event` that an event file begins with. `wall_time` in seconds since
/// 1970.
std::string version_event(double wall_time);

/// The serialised `tensorboard.Event` with a `simple_value` for each scalar (rounded to float).
std::string scalar_event(double wall_time, std::int64_t step, std::span<const Scalar> scalars);

}  // namespace titan::components
