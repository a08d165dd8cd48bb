#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <tuple>

#include "kernels/define_operator.h"
#include "kernels/instruction_set.h"
#include "kernels/operators.h"
#include "titan/kernels/layers.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using TwoTensors = std::tuple<Tensor, Tensor>;

/// Numbers that a thread takes at once: whole vectors of every instruction set, so that each number is computed alike
/// whoever computes it.
constexpr std::int64_t kBlock = 16384;

template <class Work>
void by_blocks(std::int64_t count, const Work& work) {
  at::parallel_for(0, (count + kBlock - 1) / kBlock, 1, [&](std::int64_t first, std::int64_t last) {
    work(first * kBlock, std::min(count, last * kBlock) - first * kBlock);
  });
}

Tensor forward_shape(const Tensor& a, const Tensor&) { return at::empty(a.sizes(), a.options()); }

Tensor forward(const Tensor& gate, const Tensor& up) {
  const Tensor a = gate.contiguous();
  const Tensor b = up.contiguous();
  const Tensor y = forward_shape(a, b);
  const auto* from_a = a.const_data_ptr<float>();
  const auto* from_b = b.const_data_ptr<float>();
  auto* to = y.data_ptr<float>();
  by_blocks(a.numel(), [&](std::int64_t first, std::int64_t count) {
    instruction_set().rows.swiglu(from_a + first, from_b + first, count, to + first);
  });
  return y;
}

TwoTensors backward_shapes(const Tensor&, const Tensor& a, const Tensor& b) {
  return {at::empty(a.sizes(), a.options()), at::empty(b.sizes(), b.options())};
}

TwoTensors backward(const Tensor& gradient, const Tensor& gate, const Tensor& up) {
  const Tensor dy = gradient.contiguous();
  const Tensor a = gate.contiguous();
  const Tensor b = up.contiguous();
  auto [da, db] = backward_shapes(dy, a, b);
  const auto* slopes = dy.const_data_ptr<float>();
  const auto* from_a = a.const_data_ptr<float>();
  const auto* from_b = b.const_data_ptr<float>();
  auto* to_a = da.data_ptr<float>();
  auto* to_b = db.data_ptr<float>();
  by_blocks(a.numel(), [&](std::int64_t first, std::int64_t count) {
    instruction_set().rows.swiglu_backward(slopes + first, from_a + first, from_b + first, count,
                                           to_a + first, to_b + first);
  });
  return {da, db};
}

struct Swiglu : public torch::autograd::Function<Swiglu> {
  static Tensor forward(AutogradContext* context, const Tensor& a, const Tensor& b) {
    static const auto op =
        find_operator<Tensor(const Tensor&, const Tensor&)>("titan_kernels::swiglu");
    context->save_for_backward({a, b});
    return op.call(a, b);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    static const auto op = find_operator<TwoTensors(const Tensor&, const Tensor&, const Tensor&)>(
        "titan_kernels::swiglu_backward");
    const variable_list saved = context->get_saved_variables();
    const auto [da, db] = op.call(gradients[0], saved[0], saved[1]);
    return {da, db};
  }
};

bool takes(const Tensor& x) { return x.is_cpu() && x.scalar_type() == at::kFloat; }

}  // namespace

void define_swiglu(torch::Library& library) {
  define_operator(library, "swiglu(Tensor a, Tensor b) -> Tensor", forward, forward_shape);
  define_operator(library,
                  "swiglu_backward(Tensor gradient, Tensor a, Tensor b) -> (Tensor, Tensor)",
                  backward, backward_shapes);
}

Tensor swiglu(const Tensor& a, const Tensor& b) {
  if (takes(a) && takes(b) && a.sizes() == b.sizes()) return Swiglu::apply(a, b);
  return at::silu(a) * b;
}

}  // namespace titan::kernels
