#pragma once

#include <exception>
#include <string>

namespace titan::comm {

/// The first line of what an exception says, printable: LibTorch's messages go on with a C++ stack.
std::string reason_of(const std::exception& error);

}  // namespace titan::comm
