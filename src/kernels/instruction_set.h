#pragma once

#include "kernels/attention_tiles.h"
#include "kernels/row_kernels.h"

namespace titan::kernels {

/// The kernels for one instruction set.
struct InstructionSet {
  const char* name;
  const AttentionTiles& attention;
  const RowKernels& rows;
};

/// What this processor has, and the environment's ATEN_CPU_CAPABILITY allows, as LibTorch decides it.
const InstructionSet& instruction_set();

/// Its kernels for tensors of fp32, and of bf16.
template <class Number>
const ElementKernels<Number>& element_kernels();
template <>
inline const ElementKernels<float>& element_kernels<float>() {
  return instruction_set().rows.floats;
}
template <>
inline const ElementKernels<Bf16Bits>& element_kernels<Bf16Bits>() {
  return instruction_set().rows.bf16;
}

}  // namespace titan::kernels
