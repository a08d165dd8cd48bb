#include "kernels/instruction_set.h"

#include <ATen/Version.h>
#include <ATen/ops/cos.h>
#include <ATen/ops/zeros.h>

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

namespace {

/// MKL's vector functions, which are LibTorch's cos, sin, exp, log, tanh and sqrt, ask for the processor at their first
/// call, and while they do, a second thread may read a number that is not translated yet: it then computes with half
/// of the digits. So the first call is made when the program is loaded, where there is one thread.
[[maybe_unused]] const bool vector_functions_know_the_processor = [] {
  at::cos(at::zeros({1}));
  return true;
}();

}  // namespace

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
