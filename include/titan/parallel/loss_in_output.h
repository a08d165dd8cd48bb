#pragma once

#include <ATen/core/Tensor.h>

#include "titan/comm/process_group.h"
#include "titan/nn/linear.h"

namespace titan::parallel {

/// While it lives, a model's call on this thread is to end in a loss, if it can: that of these labels, int64 `[B, S]`, a
/// sum over the tokens as protocols::LossFunction's, in the place of logits.
class LabelsScope {
 public:
  explicit LabelsScope(const at::Tensor& labels);
  ~LabelsScope();
  LabelsScope(const LabelsScope&) = delete;
  LabelsScope& operator=(const LabelsScope&) = delete;

  /// Whether what the model gave back is the loss.
  bool has_loss() const { return has_loss_; }

 private:
  friend void compute_loss_in_output(nn::Linear& output, comm::ProcessGroup* group);
  static thread_local LabelsScope* innermost;

  const at::Tensor& labels_;
  bool has_loss_ = false;
  LabelsScope* outer_;
};

/// Puts a layer around a model's last product that makes the loss of its logits, a few tokens at a time
/// (kernels/cross_entropy.h), inside a LabelsScope. `group`: the ranks that share the vocabulary, or null. `output` and
/// `group` outlive the layer.
void compute_loss_in_output(nn::Linear& output, comm::ProcessGroup* group);

}  // namespace titan::parallel
