// Input: a pickle. Reading ends in a value or in a RunError; a value that is written in any protocol
// is read back as the same.

#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/formats/pickle/pickle.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace titan;
  formats::PickleValue value;
  try {
    // What a few bytes unfold to is written out in full, so it is kept small.
    value = formats::read_pickle({reinterpret_cast<const char*>(data), size},
                                 {.max_depth = 100, .max_parts = 20000});
  } catch (const RunError&) {
    return 0;
  }
  for (const int protocol : {2, 3, 4, 5}) {
    if (!(formats::read_pickle(formats::write_pickle(value, protocol)) == value)) std::abort();
  }
  return 0;
}
