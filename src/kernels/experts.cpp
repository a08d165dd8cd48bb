#include "titan/kernels/experts.h"

#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <tuple>

#include "kernels/define_operator.h"
#include "kernels/linear_product.h"
#include "kernels/operators.h"
#include "kernels/swiglu.h"
#include "titan/base/errors.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;
using FourTensors = std::tuple<Tensor, Tensor, Tensor, Tensor>;

/// Calls `work(expert, rows)` for each, also without rows; `rows(tensor)`: those of the expert.
template <class Work>
void for_each_expert(const Tensor& counts, std::int64_t rows, const Work& work) {
  const Tensor on_host = counts.contiguous();
  const std::int64_t* count = on_host.const_data_ptr<std::int64_t>();
  std::int64_t begin = 0;
  for (std::int64_t expert = 0; expert < on_host.numel(); ++expert) {
    const std::int64_t own = count[expert];
    TITAN_CHECK(own >= 0 && begin + own <= rows, "experts of more rows than the ", rows, " given");
    work(expert, own, [begin, own](const Tensor& tensor) { return tensor.narrow(0, begin, own); });
    begin += own;
  }
  TITAN_CHECK(begin == rows, "experts of ", begin, " rows in all were given ", rows);
}

/// What the experts return, and what gate and up made of the rows.
ThreeTensors forward_shapes(const Tensor& rows, const Tensor& gate, const Tensor&, const Tensor&,
                            const Tensor&) {
  const auto hidden = [&] { return at::empty({rows.size(0), gate.size(1)}, rows.options()); };
  return {at::empty(rows.sizes(), rows.options()), hidden(), hidden()};
}

ThreeTensors forward(const Tensor& given, const Tensor& gate, const Tensor& down, const Tensor& up,
                     const Tensor& counts) {
  const Tensor x = given.contiguous();
  ThreeTensors results = forward_shapes(x, gate, down, up, counts);
  const auto& [y, gated, upped] = results;
  for_each_expert(counts, x.size(0), [&](std::int64_t expert, std::int64_t n, const auto& own) {
    if (n == 0) return;
    const Tensor a = own(gated);
    const Tensor b = own(upped);
    set_to_products({a, b}, own(x), {gate.select(0, expert), up.select(0, expert)});
    set_to_product(own(y), swiglu_of(a, b), down.select(0, expert));
  });
  return results;
}

FourTensors backward_shapes(const Tensor&, const Tensor& rows, const Tensor& gate,
                            const Tensor& down, const Tensor& up, const Tensor&, const Tensor&,
                            const Tensor&) {
  const auto like = [](const Tensor& tensor) {
    return at::empty(tensor.sizes(), tensor.options());
  };
  return {like(rows), like(gate), like(down), like(up)};
}

/// Of the rows and of the three matrices.
FourTensors backward(const Tensor& gradient, const Tensor& given, const Tensor& gate,
                     const Tensor& down, const Tensor& up, const Tensor& counts,
                     const Tensor& gated, const Tensor& upped) {
  const Tensor dy = gradient.contiguous();
  const Tensor x = given.contiguous();
  FourTensors results = backward_shapes(dy, x, gate, down, up, counts, gated, upped);
  const auto& [dx, dgate, ddown, dup] = results;
  const Tensor dhidden = at::empty({x.size(0), gate.size(1)}, x.options());
  for_each_expert(counts, x.size(0), [&](std::int64_t expert, std::int64_t n, const auto& own) {
    if (n == 0) {
      for (const Tensor& whole : {dgate, ddown, dup}) whole.select(0, expert).zero_();
      return;
    }
    const Tensor a = own(gated);
    const Tensor b = own(upped);
    const Tensor slopes = own(dhidden);
    set_to_product(slopes, own(dy), down.select(0, expert).t());
    const auto [da, db] = swiglu_backward_and_again(slopes, a, b);
    set_to_product(ddown.select(0, expert), own(dy).t(), slopes.t());  // what down was given
    set_to_products({dgate.select(0, expert), dup.select(0, expert)}, {da.t(), db.t()}, own(x).t());
    set_to_product(own(dx), da, gate.select(0, expert).t());
    add_linear_product(own(dx), db, up.select(0, expert).t());
  });
  return results;
}

struct Experts : public torch::autograd::Function<Experts> {
  static Tensor forward(AutogradContext* context, const Tensor& rows, const Tensor& gate,
                        const Tensor& down, const Tensor& up, const Tensor& counts) {
    static const auto op =
        find_operator<ThreeTensors(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                   const Tensor&)>("titan_kernels::experts");
    const auto [y, gated, upped] = op.call(rows, gate, down, up, counts);
    context->save_for_backward({rows, gate, down, up, counts, gated, upped});
    return y;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    static const auto op =
        find_operator<FourTensors(const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                  const Tensor&, const Tensor&, const Tensor&, const Tensor&)>(
            "titan_kernels::experts_backward");
    const variable_list saved = context->get_saved_variables();
    const auto [dx, dgate, ddown, dup] =
        op.call(gradients[0], saved[0], saved[1], saved[2], saved[3], saved[4], saved[5], saved[6]);
    return {dx, dgate, ddown, dup, {}};
  }
};

}  // namespace

void define_experts(torch::Library& library) {
  define_operator(library,
                  "experts(Tensor rows, Tensor gate, Tensor down, Tensor up, Tensor counts) -> "
                  "(Tensor, Tensor, Tensor)",
                  forward, forward_shapes);
  define_operator(library,
                  "experts_backward(Tensor gradient, Tensor rows, Tensor gate, Tensor down, Tensor "
                  "up, Tensor counts, Tensor gated, Tensor upped) -> (Tensor, Tensor, Tensor, "
                  "Tensor)",
                  backward, backward_shapes);
}

bool takes_experts(const Tensor& rows, const ExpertWeights& weights) {
  const auto takes = [](const Tensor& tensor) {
    return tensor.is_cpu() && tensor.scalar_type() == at::kFloat;
  };
  return takes(rows) && takes(weights.gate) && takes(weights.down) && takes(weights.up) &&
         !at::autocast::is_autocast_enabled(at::kCPU);
}

Tensor experts(const Tensor& rows, const ExpertWeights& weights, const Tensor& counts) {
  return Experts::apply(rows, weights.gate, weights.down, weights.up, counts);
}

}  // namespace titan::kernels
