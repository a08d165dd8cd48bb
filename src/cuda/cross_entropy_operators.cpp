// The operators of kernels/logit_rows.cpp on a GPU.
#include <ATen/ops/empty.h>
#include <c10/cuda/CUDAException.h>
#include <c10/cuda/CUDAGuard.h>
#include <c10/cuda/CUDAStream.h>
#include <torch/library.h>

#include <tuple>

#include "cuda/cross_entropy_kernels.h"
#include "cuda/number_type_of.h"

namespace titan::cuda {

namespace {

using at::Tensor;

LogitRows rows_of(const Tensor& logits, const Tensor& labels, std::int64_t ignore_index,
                  std::int64_t offset) {
  return {number_type_of(logits), logits.size(0),
          logits.size(1),         labels.const_data_ptr<std::int64_t>(),
          ignore_index,           offset};
}

std::tuple<Tensor, Tensor> sums_of(const Tensor& given, const Tensor& labels,
                                   std::int64_t ignore_index, std::int64_t offset) {
  const c10::cuda::CUDAGuard guard(given.device());
  const Tensor logits = given.contiguous();
  const Tensor all_labels = labels.contiguous();
  const auto fp32 = logits.options().dtype(at::kFloat);
  Tensor lse = at::empty({logits.size(0)}, fp32);
  Tensor chosen = at::empty({logits.size(0)}, fp32);
  C10_CUDA_CHECK(log_sum_exps(rows_of(logits, all_labels, ignore_index, offset),
                              logits.const_data_ptr(), lse.mutable_data_ptr<float>(),
                              chosen.mutable_data_ptr<float>(), c10::cuda::getCurrentCUDAStream()));
  return {lse, chosen};
}

void to_gradient(Tensor& logits, const Tensor& lse, const Tensor& labels, std::int64_t ignore_index,
                 std::int64_t offset) {
  const c10::cuda::CUDAGuard guard(logits.device());
  TORCH_CHECK(logits.is_contiguous(), "logits that become their gradient lie row by row");
  const Tensor all_sums = lse.contiguous();
  const Tensor all_labels = labels.contiguous();
  C10_CUDA_CHECK(logits_to_gradient(rows_of(logits, all_labels, ignore_index, offset),
                                    all_sums.const_data_ptr<float>(), logits.mutable_data_ptr(),
                                    c10::cuda::getCurrentCUDAStream()));
}

TORCH_LIBRARY_IMPL(titan_kernels, CUDA, library) {
  library.impl("log_sum_exps", &sums_of);
  library.impl("logits_to_gradient", &to_gradient);
}

}  // namespace

}  // namespace titan::cuda
