#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/view_as_real.h>
#include <torch/csrc/autograd/custom_function.h>

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

constexpr std::int64_t kTokensAtOnce = 16;

/// Forward as attention takes it, a head's tokens one behind the other; backward as a projection does, a token's heads.
Tensor shape(const Tensor& x, const Tensor&, bool, bool back) {
  if (back) return at::empty(x.sizes(), x.options());
  return at::empty({x.size(0), x.size(2), x.size(1), x.size(3)}, x.options()).transpose(1, 2);
}

template <class Number>
void fill(const Tensor& x, const Tensor& table, bool halves, float direction, const Tensor& y) {
  const std::int64_t length = x.size(1);
  const std::int64_t heads = x.size(2);
  const std::int64_t dim = x.size(3);
  const bool is_by_row = table.size(0) > 1;
  const auto* from = numbers_of<Number>(x);
  const auto* turns = table.const_data_ptr<float>();
  const auto& kernels = element_kernels<Number>();
  const auto turn = halves ? kernels.rotate_halves : kernels.rotate_pairs;
  auto* to = numbers_of<Number>(y);
  at::parallel_for(0, x.size(0) * length, kTokensAtOnce, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      const std::int64_t row = token / length;
      const std::int64_t place = token % length;
      turn(from + row * x.stride(0) + place * x.stride(1), x.stride(2),
           turns + (is_by_row ? token : place) * table.size(2), heads, dim, direction,
           to + row * y.stride(0) + place * y.stride(1), y.stride(2));
    }
  });
}

/// `table`: fp32 `[B or 1, S, D]`, of halves `[B or 1, S, 2 D]`
Tensor turn(const Tensor& given, const Tensor& table, bool halves, bool back) {
  const Tensor x = given.stride(3) == 1 ? given : given.contiguous();
  Tensor y = shape(x, table, halves, back);
  const float direction = back ? -1.0F : 1.0F;
  x.scalar_type() == at::kFloat ? fill<float>(x, table, halves, direction, y)
                                : fill<Bf16Bits>(x, table, halves, direction, y);
  return y;
}

Tensor call(const Tensor& x, const Tensor& table, bool halves, bool back) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, bool, bool)>("titan_kernels::rotate");
  return op.call(x, table, halves, back);
}

struct Rotate : public torch::autograd::Function<Rotate> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& table,
                        bool halves) {
    context->save_for_backward({table});
    context->saved_data["halves"] = halves;
    return call(x, table, halves, /*back=*/false);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const bool halves = context->saved_data.at("halves").toBool();
    return {call(gradients[0], context->get_saved_variables()[0], halves, /*back=*/true), {}, {}};
  }
};

}  // namespace

void define_rotate(torch::Library& library) {
  define_operator(library, "rotate(Tensor x, Tensor table, bool halves, bool back) -> Tensor", turn,
                  shape);
}

bool takes_rotation(const Tensor& x) {
  return (has_element_kernels(x) || has_gpu_kernels(x)) && x.numel() > 0;
}

Tensor rotate(const Tensor& x, const Tensor& rotations) {
  const bool halves = !rotations.is_complex();
  const Tensor table = halves ? rotations.flatten(2) : at::view_as_real(rotations).flatten(2);
  return Rotate::apply(x, table.to(at::kFloat).contiguous(), halves);
}

}  // namespace titan::kernels
