#include "titan/parallel/loss_in_output.h"

#include <ATen/ops/empty.h>

#include <utility>

#include "titan/kernels/cross_entropy.h"
#include "titan/nn/chunk.h"

namespace titan::parallel {

namespace {

kernels::VocabularyPart part_of(const nn::Linear& output, comm::ProcessGroup* group) {
  if (group == nullptr) return {};
  kernels::VocabularyPart part;
  part.offset = nn::chunk_of(output.weight().full_sizes.at(0), group->size(), group->rank()).offset;
  part.whole_lse = [group](const at::Tensor& lse) {
    const at::Tensor of_ranks = at::empty({group->size(), lse.size(0)}, lse.options());
    group->all_gather(of_ranks, lse).wait();
    return of_ranks.logsumexp(0);
  };
  part.whole_sum = [group](const at::Tensor& sum) {
    group->all_reduce(sum).wait();
    return sum;
  };
  return part;
}

}  // namespace

thread_local LabelsScope* LabelsScope::innermost = nullptr;

LabelsScope::LabelsScope(const at::Tensor& labels)
    : labels_(labels), outer_(std::exchange(innermost, this)) {}
LabelsScope::~LabelsScope() { innermost = outer_; }

void compute_loss_in_output(nn::Linear& output, comm::ProcessGroup* group) {
  output.wrap_forward(
      [&output, group](const nn::Module::Forward& multiply, const nn::Inputs& inputs) {
        LabelsScope* const scope = LabelsScope::innermost;
        if (scope == nullptr) return multiply(inputs);
        scope->has_loss_ = true;
        kernels::CrossEntropyOptions options;
        options.part = part_of(output, group);
        return nn::Tensors{kernels::linear_cross_entropy(inputs.at(0), output.weight().tensor,
                                                         scope->labels_, options)};
      });
}

}  // namespace titan::parallel
