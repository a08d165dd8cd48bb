#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/number_type.h"

namespace titan::cuda {

// The loss of a few rows of logits on a GPU (`kernels/logit_rows.h`), in two passes over them: computed in fp32, added up in
// an order that is always the same. Without LibTorch's headers, for nvcc.

/// Logits `[rows, count]`, one row behind the other, are of the part of the vocabulary that begins with `offset`.
struct LogitRows {
  NumberType type = NumberType::kBFloat16;
  std::int64_t rows = 0;
  std::int64_t count = 0;
  const std::int64_t* labels = nullptr;
  std::int64_t ignore_index = -100;
  std::int64_t offset = 0;
};

/// `lse` and `chosen` `[rows]`: each row's log-sum-exp, and its logit at the label; 0 where that is not in this part.
cudaError_t log_sum_exps(const LogitRows& rows, const void* logits, float* lse, float* chosen,
                         cudaStream_t stream);

/// The logits become the gradient of the sum of losses, by the log-sum-exps of the whole vocabulary.
cudaError_t logits_to_gradient(const LogitRows& rows, const float* lse, void* logits,
                               cudaStream_t stream);

}  // namespace titan::cuda
