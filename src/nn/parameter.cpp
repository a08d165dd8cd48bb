#include "titan/nn/parameter.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

namespace titan::nn {

at::IntArrayRef Parameter::full_sizes() const {
  return box ? at::IntArrayRef(box->full_sizes) : tensor.sizes();
}

void Parameter::fill(const std::function<void(const at::Tensor& full)>& draw) const {
  const c10::NoGradGuard no_grad;
  if (!box) {
    draw(tensor);
    return;
  }
  at::Tensor mine = at::empty(box->full_sizes, tensor.options());
  draw(mine);
  for (std::size_t d = 0; d < box->offsets.size(); ++d) {
    const auto dim = static_cast<std::int64_t>(d);
    mine = mine.narrow(dim, box->offsets[d], tensor.size(dim));
  }
  tensor.copy_(mine);
}

}  // namespace titan::nn
