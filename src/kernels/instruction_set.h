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

}  // namespace titan::kernels
