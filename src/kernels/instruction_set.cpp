#include "kernels/instruction_set.h"

#include <ATen/Version.h>

#include <string>

namespace titan::kernels {

#define TITAN_DECLARE_KERNELS(isa)                                               \
  namespace isa {                                                                \
  extern const AttentionTiles attention_tiles;                                   \
  extern const RowKernels row_kernels;                                           \
  }                                                                              \
  namespace {                                                                    \
  const InstructionSet k_##isa = {#isa, isa::attention_tiles, isa::row_kernels}; \
  }
TITAN_DECLARE_KERNELS(baseline)
#ifdef TITAN_X86
TITAN_DECLARE_KERNELS(avx2)
TITAN_DECLARE_KERNELS(avx512)
#endif
#undef TITAN_DECLARE_KERNELS

const InstructionSet& instruction_set() {
  static const InstructionSet& chosen = []() -> const InstructionSet& {
#ifdef TITAN_X86
    const std::string capability = at::get_cpu_capability();
    if (capability == "AVX512") return k_avx512;
    if (capability == "AVX2") return k_avx2;
#endif
    return k_baseline;
  }();
  return chosen;
}

}  // namespace titan::kernels
