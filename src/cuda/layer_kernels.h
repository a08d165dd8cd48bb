#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "cuda/number_type.h"
#include "cuda/rotate_arithmetic.h"

namespace titan::cuda {

// The fast paths of layers on a GPU (`kernels/layers.h`). Pointers are to numbers of `type`; each is computed in fp32 and
// rounded once. Without LibTorch's headers, for nvcc.

/// y = silu(a) · b
cudaError_t swiglu(NumberType type, const void* a, const void* b, std::int64_t count, void* y,
                   cudaStream_t stream);
cudaError_t swiglu_backward(NumberType type, const void* dy, const void* a, const void* b,
                            std::int64_t count, void* da, void* db, cudaStream_t stream);

enum class Pairs { kAdjacent, kHalves };

cudaError_t rotate(NumberType type, Pairs pairs, const Rotation& rotation, const void* x, void* y,
                   cudaStream_t stream);

}  // namespace titan::cuda
