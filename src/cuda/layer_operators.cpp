// The operators of kernels/rotate.cpp and kernels/swiglu.cpp on a GPU.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <limits>
#include <tuple>

#include "cuda/layer_kernels.h"
#include "cuda/number_type_of.h"

namespace titan::cuda {

namespace {

using at::Tensor;

Tensor swiglu_of(const Tensor& gate, const Tensor& up) {
  const c10::cuda::CUDAGuard guard(gate.device());
  const Tensor a = gate.contiguous();
  const Tensor b = up.contiguous();
  Tensor y = at::empty(a.sizes(), a.options());
  C10_CUDA_CHECK(swiglu(number_type_of(a), a.const_data_ptr(), b.const_data_ptr(), a.numel(),
                        y.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()));
  return y;
}

std::tuple<Tensor, Tensor> swiglu_gradients(const Tensor& gradient, const Tensor& gate,
                                            const Tensor& up) {
  const c10::cuda::CUDAGuard guard(gate.device());
  const Tensor dy = gradient.contiguous();
  const Tensor a = gate.contiguous();
  const Tensor b = up.contiguous();
  Tensor da = at::empty(a.sizes(), a.options());
  Tensor db = at::empty(b.sizes(), b.options());
  C10_CUDA_CHECK(swiglu_backward(number_type_of(a), dy.const_data_ptr(), a.const_data_ptr(),
                                 b.const_data_ptr(), a.numel(), da.mutable_data_ptr(),
                                 db.mutable_data_ptr(), c10::cuda::getCurrentCUDAStream()));
  return {da, db};
}

Heads heads_of(const Tensor& x) { return {x.stride(0), x.stride(1), x.stride(2)}; }

/// y lies as on every other device (kernels/rotate.cpp).
Tensor turn(const Tensor& given, const Tensor& table, bool halves, bool back) {
  const c10::cuda::CUDAGuard guard(given.device());
  const Tensor x = given.stride(3) == 1 ? given : given.contiguous();
  const Tensor y =
      back ? at::empty(x.sizes(), x.options())
           : at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2);
  TORCH_CHECK(x.size(2) * x.size(3) <= std::numeric_limits<int>::max(),
              "a token's heads have more numbers than are turned");
  Rotation rotation{
      x.size(0),   x.size(1),   static_cast<int>(x.size(2)),   static_cast<int>(x.size(3)),
      heads_of(x), heads_of(y), table.const_data_ptr<float>(), table.size(0) > 1,
      back};
  C10_CUDA_CHECK(rotate(number_type_of(x), halves ? Pairs::kHalves : Pairs::kAdjacent, rotation,
                        x.const_data_ptr(), y.mutable_data_ptr(),
                        c10::cuda::getCurrentCUDAStream()));
  return y;
}

TORCH_LIBRARY_IMPL(titan_kernels, CUDA, library) {
  library.impl("swiglu", &swiglu_of);
  library.impl("swiglu_backward", &swiglu_gradients);
  library.impl("rotate", &turn);
}

}  // namespace

}  // namespace titan::cuda
