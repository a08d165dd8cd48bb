#include "titan/kernels/cross_entropy.h"

#include <ATen/Parallel.h>
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
#include <limits>
#include <utility>

#include "kernels/define_operator.h"
#include "kernels/instruction_set.h"
#include "kernels/linear_product.h"
#include "kernels/operators.h"
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

Tensor lse_shape(Tensor& logits, bool) { return at::empty({logits.size(0)}, logits.options()); }

/// log_sum_exp of each row; with `gradient` the rows become their softmax.
Tensor lse_of_rows(Tensor& logits, bool gradient) {
  const Tensor lse = lse_shape(logits, gradient);
  const std::int64_t count = logits.size(1);
  if (count == 0) return lse.fill_(-std::numeric_limits<float>::infinity());
  auto* rows = logits.data_ptr<float>();
  auto* to = lse.data_ptr<float>();
  at::parallel_for(0, logits.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      to[row] = instruction_set().rows.log_sum_exp(rows + row * count, count, gradient);
    }
  });
  return lse;
}

Tensor take_softmax(Tensor& logits, bool gradient) {
  if (logits.is_cpu()) {
    static const auto op =
        find_operator<Tensor(Tensor&, bool)>("titan_kernels::log_sum_exp_of_rows");
    return op.call(logits, gradient);
  }
  const Tensor lse = logits.logsumexp(1);
  if (gradient) logits.sub_(lse.unsqueeze(1)).exp_();
  return lse;
}

/// A few rows: their loss, and what the gradient by the logits is.
class Rows {
 public:
  Rows(const Tensor& logits, const Tensor& labels, const CrossEntropyOptions& options)
      : options_(options), logits_(logits), trained_(labels != options.ignore_index) {
    const Tensor local = labels - options.part.offset;
    is_here_ = trained_.logical_and((local >= 0).logical_and_(local < logits.size(1)));
    place_ = local.masked_fill(is_here_.logical_not(), 0).unsqueeze_(1);
  }

  /// Makes the logits their gradient where it is wanted.
  Tensor loss(bool gradient) {
    const bool is_empty = logits_.size(1) == 0;
    const Tensor chosen =
        is_empty ? Tensor() : logits_.gather(1, place_).squeeze_(1).mul_(is_here_.to(at::kFloat));
    Tensor lse = take_softmax(logits_, gradient);
    Tensor factor = trained_.to(at::kFloat);
    if (options_.part.whole_lse) {
      const Tensor whole = options_.part.whole_lse(lse);
      factor = factor * (lse - whole).exp_();
      lse = whole;
    }
    if (gradient && !is_empty) {
      logits_.mul_(factor.unsqueeze(1));
      logits_.scatter_add_(1, place_, is_here_.to(at::kFloat).neg_().unsqueeze_(1));
    }
    // Of the parts of a vocabulary, the one with the label counts the token.
    const Tensor counted = lse.masked_fill(is_here_.logical_not(), 0.0);
    return is_empty ? counted.sum() : (counted - chosen).sum();
  }

  const Tensor& gradient() const { return logits_; }

 private:
  const CrossEntropyOptions& options_;
  Tensor logits_;
  Tensor trained_;
  Tensor is_here_;
  Tensor place_;
};

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
  if (by_hidden) all.hidden = at::empty(hidden.sizes(), hidden.options());
  const std::int64_t at_once = rows_at_once(options, weight);
  for (std::int64_t first = 0; first < hidden.size(0); first += at_once) {
    const std::int64_t count = std::min(at_once, hidden.size(0) - first);
    const Tensor some = hidden.narrow(0, first, count);
    Rows rows(kernels::linear(some, weight).to(at::kFloat), labels.narrow(0, first, count),
              options);
    all.sum.add_(rows.loss(gradient));
    if (!gradient) continue;
    const Tensor slopes = rows.gradient().to(hidden.scalar_type());
    if (by_hidden) {
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

void define_cross_entropy(torch::Library& library) {
  define_operator(library, "log_sum_exp_of_rows(Tensor(a!) logits, bool gradient) -> Tensor",
                  lse_of_rows, lse_shape);
}

Tensor linear_cross_entropy(const Tensor& hidden, const Tensor& weight, const Tensor& labels,
                            const CrossEntropyOptions& options) {
  const Tensor rows = hidden.reshape({-1, hidden.size(-1)});
  const Tensor flat = labels.flatten();
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
