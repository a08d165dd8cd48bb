#pragma once

#include "titan/nn/module.h"

namespace titan::forecast {

/// Lets the modules of a simulated model keep for backward what a GPU's kernels keep, where that is
/// not what the CPU's keep: RMS norms save their input and one number per row.
void keep_what_gpu_kernels_keep(nn::Module& model);

/// What attention within documents is told on a GPU in place of a mask, when it computes in half
/// precision: int32 offsets and the longest (see nn::packed_documents), here of one document a row.
nn::Tensors packed_rows(const at::Tensor& tokens);

}  // namespace titan::forecast
