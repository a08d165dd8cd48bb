#include "kernels/logit_rows.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <limits>
#include <tuple>

#include "kernels/define_operator.h"
#include "kernels/instruction_set.h"
#include "kernels/operators.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using TwoTensors = std::tuple<Tensor, Tensor>;

/// Which labels are trained on, and where in this part of the vocabulary they are.
struct Places {
  Tensor trained;
  Tensor is_here;
  Tensor place;  // `[n, 1]`, 0 where it is not here

  Places(const Tensor& labels, std::int64_t ignore_index, std::int64_t offset, std::int64_t count)
      : trained(labels != ignore_index) {
    const Tensor local = labels - offset;
    is_here = trained.logical_and((local >= 0).logical_and_(local < count));
    place = local.masked_fill(is_here.logical_not(), 0).unsqueeze_(1);
  }
};

Tensor lse_shape(Tensor& logits, bool) { return at::empty({logits.size(0)}, logits.options()); }

/// log_sum_exp of each row in fp32; with `gradient` the rows become their softmax.
Tensor softmax_of_rows(Tensor& logits, bool gradient) {
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

Tensor losses_shape(Tensor& logits, const Tensor&, std::int64_t, bool) {
  return at::empty({logits.size(0)}, logits.options());
}

/// The loss of each row of logits of the whole vocabulary, of ignored ones 0; with `gradient` the rows become that. All while a row is in
/// the cache.
Tensor losses_of_rows(Tensor& logits, const Tensor& given_labels, std::int64_t ignore_index,
                      bool gradient) {
  const Tensor losses = losses_shape(logits, given_labels, ignore_index, gradient);
  const Tensor labels = given_labels.contiguous();
  const std::int64_t count = logits.size(1);
  auto* const rows = logits.data_ptr<float>();
  const auto* const places = labels.const_data_ptr<std::int64_t>();
  auto* const to = losses.data_ptr<float>();
  at::parallel_for(0, logits.size(0), 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      float* const row = rows + i * count;
      const std::int64_t label = places[i];
      const bool is_trained = label != ignore_index;
      const bool is_here = is_trained && label >= 0 && label < count;
      to[i] = 0;
      if (!is_trained) {
        if (gradient) std::fill_n(row, count, 0.0F);
        continue;
      }
      const float chosen = is_here ? row[label] : 0;
      const float lse = instruction_set().rows.log_sum_exp(row, count, gradient);
      if (!is_here) continue;
      to[i] = lse - chosen;
      if (gradient) row[label] -= 1;
    }
  });
  return losses;
}

/// Where all of the vocabulary is here.
RowsLoss loss_of_whole_rows(const Tensor& given, const Tensor& labels,
                            const CrossEntropyOptions& options, bool gradient) {
  static const auto op = find_operator<Tensor(Tensor&, const Tensor&, std::int64_t, bool)>(
      "titan_kernels::losses_of_rows");
  Tensor logits = given.to(at::kFloat);
  const Tensor losses = op.call(logits, labels, options.ignore_index, gradient);
  return {losses.sum(), gradient ? logits.to(given.scalar_type()) : Tensor()};
}

/// Powers are made once, while a row is in the cache; what other ranks have of it is heard of between that and the rest.
RowsLoss loss_on_cpu(const Tensor& given, const Tensor& labels, const CrossEntropyOptions& options,
                     bool gradient) {
  if (!options.part.whole_lse && options.part.offset == 0) {
    return loss_of_whole_rows(given, labels, options, gradient);
  }
  static const auto op = find_operator<Tensor(Tensor&, bool)>("titan_kernels::log_sum_exp_of_rows");
  Tensor logits = given.to(at::kFloat);
  const Places at(labels, options.ignore_index, options.part.offset, logits.size(1));
  const bool is_empty = logits.size(1) == 0;
  const Tensor chosen =
      is_empty ? Tensor() : logits.gather(1, at.place).squeeze_(1).mul_(at.is_here.to(at::kFloat));
  Tensor lse = op.call(logits, gradient);
  Tensor factor = at.trained.to(at::kFloat);
  if (options.part.whole_lse) {
    const Tensor whole = options.part.whole_lse(lse);
    factor = factor * (lse - whole).exp_();
    lse = whole;
  }
  if (gradient && !is_empty) {
    logits.mul_(factor.unsqueeze(1));
    logits.scatter_add_(1, at.place, at.is_here.to(at::kFloat).neg_().unsqueeze_(1));
  }
  // Of the parts of a vocabulary, the one with the label counts the token.
  const Tensor counted = lse.masked_fill(at.is_here.logical_not(), 0.0);
  return {is_empty ? counted.sum() : (counted - chosen).sum(),
          gradient ? logits.to(given.scalar_type()) : Tensor()};
}

/// Log-sum-exps of rows, and their logits at the labels; 0 where those are not in this part.
TwoTensors log_sum_exps(const Tensor& logits, const Tensor& labels, std::int64_t ignore_index,
                        std::int64_t offset) {
  const auto fp32 = logits.options().dtype(at::kFloat);
  if (logits.size(1) == 0) {
    return {at::full({logits.size(0)}, -std::numeric_limits<float>::infinity(), fp32),
            at::zeros({logits.size(0)}, fp32)};
  }
  const Places at(labels, ignore_index, offset, logits.size(1));
  const Tensor numbers = logits.to(at::kFloat);
  return {numbers.logsumexp(1),
          numbers.gather(1, at.place).squeeze_(1).masked_fill_(at.is_here.logical_not(), 0.0)};
}

void logits_to_gradient(Tensor& logits, const Tensor& lse, const Tensor& labels,
                        std::int64_t ignore_index, std::int64_t offset) {
  if (logits.size(1) == 0) return;
  const Places at(labels, ignore_index, offset, logits.size(1));
  Tensor slopes = (logits.to(at::kFloat) - lse.unsqueeze(1)).exp_();
  slopes.scatter_add_(1, at.place, at.is_here.to(at::kFloat).neg_().unsqueeze_(1));
  logits.copy_(slopes.masked_fill_(at.trained.logical_not().unsqueeze_(1), 0.0));
}

/// In the logits' own type, which is read twice and written once.
RowsLoss loss_on_device(Tensor logits, const Tensor& labels, const CrossEntropyOptions& options,
                        bool gradient) {
  static const auto sums =
      find_operator<TwoTensors(const Tensor&, const Tensor&, std::int64_t, std::int64_t)>(
          "titan_kernels::log_sum_exps");
  static const auto differentiate =
      find_operator<void(Tensor&, const Tensor&, const Tensor&, std::int64_t, std::int64_t)>(
          "titan_kernels::logits_to_gradient");
  const std::int64_t offset = options.part.offset;
  const auto [lse, chosen] = sums.call(logits, labels, options.ignore_index, offset);
  const Tensor whole = options.part.whole_lse ? options.part.whole_lse(lse) : lse;
  if (gradient) differentiate.call(logits, whole, labels, options.ignore_index, offset);
  const Places at(labels, options.ignore_index, offset, logits.size(1));
  return {(whole - chosen).masked_fill_(at.is_here.logical_not(), 0.0).sum(),
          gradient ? logits : Tensor()};
}

}  // namespace

void define_cross_entropy(torch::Library& library) {
  define_operator(library, "log_sum_exp_of_rows(Tensor(a!) logits, bool gradient) -> Tensor",
                  softmax_of_rows, lse_shape);
  define_operator(library,
                  "losses_of_rows(Tensor(a!) logits, Tensor labels, int ignore_index, bool "
                  "gradient) -> Tensor",
                  losses_of_rows, losses_shape);
  define_operator(library,
                  "log_sum_exps(Tensor logits, Tensor labels, int ignore_index, int offset) -> "
                  "(Tensor, Tensor)",
                  log_sum_exps);
  define_operator(library,
                  "logits_to_gradient(Tensor(a!) logits, Tensor lse, Tensor labels, int "
                  "ignore_index, int offset) -> ()",
                  logits_to_gradient);
}

RowsLoss loss_of_rows(const Tensor& logits, const Tensor& labels,
                      const CrossEntropyOptions& options, bool gradient) {
  return logits.is_cpu() ? loss_on_cpu(logits, labels, options, gradient)
                         : loss_on_device(logits, labels, options, gradient);
}

}  // namespace titan::kernels
