#include "titan/nn/parameter.h"

#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <utility>

#include "titan/base/errors.h"
#include "titan/nn/chunk.h"

namespace titan::nn {

Parameter::Parameter(at::Tensor whole)
    : tensor(std::move(whole)), full_sizes(tensor.sizes().vec()) {}

void Parameter::cut(const Cut& cut) {
  TITAN_CHECK(cut.dim >= 0 && cut.dim < tensor.dim(), "a parameter of ", tensor.dim(),
              " dimensions cannot be cut along dimension ", cut.dim);
  TITAN_CHECK(cut.index >= 0 && cut.index < cut.parts, "part ", cut.index, " of ", cut.parts);
  cuts.push_back(cut);
  const bool trains = tensor.requires_grad();
  tensor = at::empty(sizes_after(cuts.size()), tensor.options().requires_grad(false));
  tensor.set_requires_grad(trains);
}

std::vector<std::int64_t> Parameter::sizes_after(std::size_t count) const {
  std::vector<std::int64_t> sizes = full_sizes;
  for (std::size_t i = 0; i < count; ++i) {
    std::int64_t& size = sizes[static_cast<std::size_t>(cuts[i].dim)];
    size = chunk_of(size, cuts[i].parts, cuts[i].index).length;
  }
  return sizes;
}

TensorBox Parameter::box() const {
  TensorBox box{full_sizes, std::vector<std::int64_t>(full_sizes.size(), 0)};
  std::vector<std::int64_t> sizes = full_sizes;
  for (const Cut& cut : cuts) {
    const auto dim = static_cast<std::size_t>(cut.dim);
    const Chunk chunk = chunk_of(sizes[dim], cut.parts, cut.index);
    box.offsets[dim] += chunk.offset;
    sizes[dim] = chunk.length;
  }
  return box;
}

void Parameter::fill(const std::function<void(const at::Tensor& full)>& draw,
                     std::optional<at::Device> drawn_on) const {
  const c10::NoGradGuard no_grad;
  if (!here) {
    if (drawn_on) draw(at::empty(full_sizes, tensor.options().device(*drawn_on)));
    return;
  }
  if (cuts.empty()) {
    draw(tensor);
    return;
  }
  const at::Tensor full = at::empty(full_sizes, tensor.options());
  draw(full);
  at::Tensor mine = full;
  const TensorBox where = box();
  for (std::int64_t dim = 0; dim < full.dim(); ++dim) {
    mine = mine.narrow(dim, where.offsets[static_cast<std::size_t>(dim)], tensor.size(dim));
  }
  tensor.copy_(mine);
}

}  // namespace titan::nn
