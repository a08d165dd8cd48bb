#pragma once

#include <cstdint>
#include <string>

#include "titan/base/descriptor.h"

namespace titan::comm {

/// A socket bound to `port` of the loopback address that `host` means, so that nothing outside this machine reaches
/// it; not open where `host` means other addresses, or none. Throws RunError with "EADDRINUSE" where the port
/// is taken.
base::Descriptor loopback_listener(const std::string& host, std::uint16_t port);

}  // namespace titan::comm
