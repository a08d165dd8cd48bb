#include "titan/parallel/clip_grad_norm.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_foreach_mul.h>
#include <ATen/ops/_foreach_norm.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>

namespace titan::parallel {

namespace {

std::vector<at::Tensor> gradients(const std::vector<at::Tensor>& parameters) {
  std::vector<at::Tensor> grads;
  grads.reserve(parameters.size());
  for (const at::Tensor& parameter : parameters) {
    if (parameter.grad().defined()) grads.push_back(parameter.grad());
  }
  return grads;
}

at::Device device_of(const std::vector<at::Tensor>& parameters) {
  return parameters.empty() ? at::Device(at::kCPU) : parameters.front().device();
}

}  // namespace

at::Tensor total_grad_norm(const std::vector<at::Tensor>& parameters, comm::ProcessGroup* shard) {
  const std::vector<at::Tensor> grads = gradients(parameters);
  if (grads.empty()) return at::zeros({}, at::TensorOptions().device(device_of(parameters)));
  at::Tensor norms = at::stack(at::_foreach_norm(grads, 2.0));
  if (shard != nullptr && shard->size() > 1) {
    // Each tensor's norm first, then that of all, in the order in which PyTorch rounds.
    const at::Tensor squares = norms.pow(2.0).to(shard->device());
    shard->all_reduce(squares).wait();
    norms = squares.pow(0.5).to(norms.device());
  }
  return at::linalg_vector_norm(norms, 2.0);
}

void clip_grads_with_norm_(const std::vector<at::Tensor>& parameters, double max_norm,
                           const at::Tensor& total_norm) {
  const std::vector<at::Tensor> grads = gradients(parameters);
  if (grads.empty()) return;
  // Multiplying by 1 costs less than asking the device whether it is needed.
  at::_foreach_mul_(grads, (max_norm / (total_norm + 1e-6)).clamp_max(1.0));
}

}  // namespace titan::parallel
