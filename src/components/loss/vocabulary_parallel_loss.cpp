#include "titan/components/loss/vocabulary_parallel_loss.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>

#include "titan/nn/chunk.h"
#include "titan/protocols/data_loader.h"

namespace titan::components {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

/// Of each row of a rank's logits: the largest, and the sum of exponentials relative to it. `[2, N]`
at::Tensor largest_and_sum(const at::Tensor& logits) {
  const at::Tensor result = at::empty({2, logits.size(0)}, logits.options());
  if (logits.size(1) == 0) {  // a vocabulary that ends before this rank
    result[0].fill_(-std::numeric_limits<float>::infinity());
    result[1].zero_();
    return result;
  }
  const at::Tensor largest = logits.amax(1, /*keepdim=*/true);
  result[0].copy_(largest.squeeze(1));
  result[1].copy_((logits - largest).exp_().sum(1));
  return result;
}

/// Of all rows of the whole logits the largest and the logarithm of the sum, from those of the ranks
/// `[ranks, 2, N]`.
std::pair<at::Tensor, at::Tensor> combine(const at::Tensor& of_ranks) {
  const at::Tensor largest = of_ranks.select(1, 0).amax(0);
  const at::Tensor scale = (of_ranks.select(1, 0) - largest).exp_();
  return {largest, (of_ranks.select(1, 1) * scale).sum(0).log_()};
}

class VocabularyParallelCrossEntropy
    : public torch::autograd::Function<VocabularyParallelCrossEntropy> {
 public:
  static at::Tensor forward(AutogradContext* context, const at::Tensor& prediction,
                            const at::Tensor& labels, std::int64_t offset,
                            comm::ProcessGroup* group) {
    const at::Tensor logits = prediction.to(at::kFloat);
    const at::Tensor mine = largest_and_sum(logits);
    const at::Tensor of_ranks = at::empty({group->size(), 2, mine.size(1)}, mine.options());
    group->all_gather(of_ranks, mine).wait();
    const auto [largest, log_sum] = combine(of_ranks);

    // A label is looked up by the rank that has it.
    const at::Tensor local = labels - offset;
    const at::Tensor others = (local < 0).logical_or_(local >= logits.size(1));
    const at::Tensor row = local.masked_fill(others, 0).unsqueeze_(1);
    at::Tensor sum = at::zeros({}, logits.options());
    if (logits.size(1) > 0) {
      const at::Tensor chosen = logits.gather(1, row).squeeze(1);
      sum = (log_sum - (chosen - largest)).masked_fill_(others, 0.0).sum();
    }
    group->all_reduce(sum).wait();
    context->save_for_backward({prediction, largest + log_sum, labels, row, others});
    return sum;
  }

  /// softmax - 1 at the label, for tokens that are trained on.
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& prediction = saved[0];
    at::Tensor gradient = (prediction.to(at::kFloat) - saved[1].unsqueeze(1)).exp_();
    if (gradient.size(1) > 0) {
      gradient.scatter_add_(1, saved[3],
                            saved[4].logical_not().to(at::kFloat).neg_().unsqueeze_(1));
    }
    const at::Tensor trained = saved[2] != protocols::kIgnoreIndex;
    gradient.mul_((trained.to(at::kFloat) * gradients[0]).unsqueeze_(1));
    return {gradient.to(prediction.scalar_type()), {}, {}, {}};
  }
};

}  // namespace

at::Tensor vocabulary_parallel_cross_entropy_loss(const at::Tensor& prediction,
                                                  const at::Tensor& labels, std::int64_t vocab_size,
                                                  comm::ProcessGroup& group) {
  const std::int64_t offset = nn::chunk_of(vocab_size, group.size(), group.rank()).offset;
  return VocabularyParallelCrossEntropy::apply(prediction.flatten(0, 1), labels.flatten(0, 1),
                                               offset, &group);
}

}  // namespace titan::components
