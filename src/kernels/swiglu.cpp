#include "kernels/swiglu.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/silu.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <tuple>

#include "kernels/define_operator.h"
#include "kernels/instruction_set.h"
#include "kernels/numbers_of.h"
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

template <class Number>
void fill(const Tensor& a, const Tensor& b, const Tensor& y) {
  const auto* from_a = numbers_of<Number>(a);
  const auto* from_b = numbers_of<Number>(b);
  auto* to = numbers_of<Number>(y);
  by_blocks(a.numel(), [&](std::int64_t first, std::int64_t count) {
    element_kernels<Number>().swiglu(from_a + first, from_b + first, count, to + first);
  });
}

Tensor forward(const Tensor& gate, const Tensor& up) {
  const Tensor a = gate.contiguous();
  const Tensor b = up.contiguous();
  Tensor y = forward_shape(a, b);
  a.scalar_type() == at::kFloat ? fill<float>(a, b, y) : fill<Bf16Bits>(a, b, y);
  return y;
}

TwoTensors backward_shapes(const Tensor&, const Tensor& a, const Tensor& b) {
  return {at::empty(a.sizes(), a.options()), at::empty(b.sizes(), b.options())};
}

/// `y`: undefined, or what gets the product again; dy itself where that is not needed any more.
template <class Number>
void fill_backward(const Tensor& dy, const Tensor& a, const Tensor& b, const TwoTensors& to,
                   const Tensor& y) {
  const auto* slopes = numbers_of<Number>(dy);
  const auto* from_a = numbers_of<Number>(a);
  const auto* from_b = numbers_of<Number>(b);
  auto* to_a = numbers_of<Number>(std::get<0>(to));
  auto* to_b = numbers_of<Number>(std::get<1>(to));
  auto* to_y = y.defined() ? numbers_of<Number>(y) : nullptr;
  by_blocks(a.numel(), [&](std::int64_t first, std::int64_t count) {
    element_kernels<Number>().swiglu_backward(slopes + first, from_a + first, from_b + first, count,
                                              to_a + first, to_b + first,
                                              to_y == nullptr ? nullptr : to_y + first);
  });
}

TwoTensors backward(const Tensor& gradient, const Tensor& gate, const Tensor& up) {
  const Tensor dy = gradient.contiguous();
  const Tensor a = gate.contiguous();
  const Tensor b = up.contiguous();
  TwoTensors to = backward_shapes(dy, a, b);
  a.scalar_type() == at::kFloat ? fill_backward<float>(dy, a, b, to, {})
                                : fill_backward<Bf16Bits>(dy, a, b, to, {});
  return to;
}

TwoTensors again_shapes(Tensor&, const Tensor& a, const Tensor& b) {
  return backward_shapes({}, a, b);
}

/// Backward, where the gradient becomes what forward has made: in the pass that has both in hand.
TwoTensors backward_and_again(Tensor& gradient, const Tensor& gate, const Tensor& up) {
  const Tensor a = gate.contiguous();
  const Tensor b = up.contiguous();
  TwoTensors to = backward_shapes(gradient, a, b);
  fill_backward<float>(gradient, a, b, to, gradient);
  return to;
}

struct Swiglu : public torch::autograd::Function<Swiglu> {
  static Tensor forward(AutogradContext* context, const Tensor& a, const Tensor& b) {
    context->save_for_backward({a, b});
    return swiglu_of(a, b);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    static const auto op = find_operator<TwoTensors(const Tensor&, const Tensor&, const Tensor&)>(
        "titan_kernels::swiglu_backward");
    const variable_list saved = context->get_saved_variables();
    const auto [da, db] = op.call(gradients[0], saved[0], saved[1]);
    return {da, db};
  }
};

}  // namespace

void define_swiglu(torch::Library& library) {
  define_operator(library, "swiglu(Tensor a, Tensor b) -> Tensor", forward, forward_shape);
  define_operator(library,
                  "swiglu_backward(Tensor gradient, Tensor a, Tensor b) -> (Tensor, Tensor)",
                  backward, backward_shapes);
  define_operator(
      library,
      "swiglu_backward_and_again(Tensor(a!) gradient, Tensor a, Tensor b) -> (Tensor, Tensor)",
      backward_and_again, again_shapes);
}

Tensor swiglu_of(const Tensor& a, const Tensor& b) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&)>("titan_kernels::swiglu");
  return op.call(a, b);
}

std::tuple<Tensor, Tensor> swiglu_backward_and_again(Tensor gradient, const Tensor& a,
                                                     const Tensor& b) {
  static const auto op = find_operator<TwoTensors(Tensor&, const Tensor&, const Tensor&)>(
      "titan_kernels::swiglu_backward_and_again");
  return op.call(gradient, a, b);
}

Tensor swiglu(const Tensor& a, const Tensor& b) {
  const bool takes = has_element_kernels(a) || has_gpu_kernels(a);
  if (takes && a.scalar_type() == b.scalar_type() && a.sizes() == b.sizes())
    return Swiglu::apply(a, b);
  return at::silu(a) * b;
}

}  // namespace titan::kernels
