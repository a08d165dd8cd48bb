// LibTorch's flight recorder is one per process and adds groups without a lock: it is not made for
// ranks that are threads, and is switched off before it is made.
#include <cstdlib>

namespace {

[[maybe_unused]] const int kSwitchedOff = ::setenv("TORCH_FR_BUFFER_SIZE", "0", 1);

}  // namespace
