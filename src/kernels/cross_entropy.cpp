#include "titan/kernels/cross_entropy.h"

#include <ATen/TensorOperators.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <utility>

#include "kernels/linear_product.h"
#include "kernels/logit_rows.h"
#include "titan/base/errors.h"
#include "titan/kernels/layers.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr std::int64_t kLogitsAtOnce = std::int64_t{1} << 24;
constexpr std::int64_t kLogitsAtOnceOnGpu =
    std::int64_t{1} << 27;  // half a gigabyte in fp32: launches cost less than products
constexpr std::int64_t kFewestRows = 256;

std::int64_t rows_at_once(const CrossEntropyOptions& options, const Tensor& weight) {
  if (options.rows > 0) return options.rows;
  const std::int64_t logits = weight.is_cuda() ? kLogitsAtOnceOnGpu : kLogitsAtOnce;
  return std::max(kFewestRows, logits / std::max<std::int64_t>(1, weight.size(0)));
}

/// The loss, and with `gradient` what it is differentiated by, for hidden states and weight of one type.
struct Losses {
  Tensor sum;
  Tensor hidden;
  Tensor weight;
};

Losses compute(const Tensor& hidden, const Tensor& weight, const Tensor& labels,
               const CrossEntropyOptions& options, bool by_hidden, bool by_weight) {
  const bool gradient = by_hidden || by_weight;
  Losses all;
  all.sum = at::zeros({}, hidden.options().dtype(at::kFloat));
  const std::int64_t at_once = rows_at_once(options, weight);
  if (by_hidden && hidden.size(0) > at_once) {
    all.hidden = at::empty(hidden.sizes(), hidden.options());
  }
  for (std::int64_t first = 0; first < hidden.size(0); first += at_once) {
    const std::int64_t count = std::min(at_once, hidden.size(0) - first);
    const Tensor some = hidden.narrow(0, first, count);
    const RowsLoss rows = loss_of_rows(kernels::linear(some, weight),
                                       labels.narrow(0, first, count), options, gradient);
    all.sum.add_(rows.sum);
    if (!gradient) continue;
    const Tensor& slopes = rows.gradient;
    if (by_hidden && count == hidden.size(0)) {
      all.hidden = kernels::linear(slopes, weight.t());
    } else if (by_hidden) {
      all.hidden.narrow(0, first, count).copy_(kernels::linear(slopes, weight.t()));
    }
    if (!by_weight) continue;
    if (first == 0) {
      all.weight = kernels::linear(slopes.t(), some.t());
    } else {
      add_linear_product(all.weight, slopes.t(), some.t());
    }
  }
  if (options.part.whole_sum) all.sum = options.part.whole_sum(all.sum);
  return all;
}

struct LinearCrossEntropy : public torch::autograd::Function<LinearCrossEntropy> {
  static Tensor forward(AutogradContext* context, const Tensor& hidden, const Tensor& weight,
                        const Tensor& labels, const CrossEntropyOptions* options) {
    const bool by_hidden = hidden.requires_grad();
    const bool by_weight = weight.requires_grad();
    const bool halves = at::autocast::is_autocast_enabled(hidden.device().type());
    const auto type =
        halves ? at::autocast::get_autocast_dtype(hidden.device().type()) : hidden.scalar_type();
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    Losses all = compute(hidden.to(type), weight.to(type), labels, *options, by_hidden, by_weight);
    context->saved_data["hidden"] = by_hidden ? all.hidden.to(hidden.scalar_type()) : Tensor();
    context->saved_data["weight"] = by_weight ? all.weight.to(weight.scalar_type()) : Tensor();
    return all.sum;
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    variable_list result(4);
    const auto take = [&](std::size_t place, const char* name) {
      if (!context->needs_input_grad(place)) return;
      Tensor kept = context->saved_data[name].toTensor();
      TITAN_CHECK(kept.defined(), "a loss is differentiated twice");
      context->saved_data[name] = Tensor();
      result[place] = kept.mul_(gradients[0]);
    };
    take(0, "hidden");
    take(1, "weight");
    return result;
  }
};

}  // namespace

Tensor linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& labels,
                            const CrossEntropyOptions& options) {
  const Tensor rows = hidden.reshape({-1, hidden.size(-1)});
  const Tensor flat = labels.flatten();
  if (rows.size(0) == 0) return (rows.sum() + weight.sum()).to(at::kFloat) * 0.0;
  if (!c10::GradMode::is_enabled()) {
    const auto type = hidden.device().type();
    const bool halves = at::autocast::is_autocast_enabled(type);
    const auto of = halves ? at::autocast::get_autocast_dtype(type) : hidden.scalar_type();
    const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
    return compute(rows.to(of), weight.to(of), flat, options, false, false).sum;
  }
  return LinearCrossEntropy::apply(rows, weight, flat, &options);
}

}  // namespace titan::kernels
