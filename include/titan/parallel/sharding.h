#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <vector>

namespace titan::parallel {

class FsdpExtension;

/// How a model's parameters lie on the data-parallel ranks, and when their gradients are summed. This one
/// does nothing: a single rank has all.
///
/// Training one model needs the first two questions only. Who runs a model several times forward before it
/// runs backward, as a pipeline's stage, takes matters into its own hands with the others.
class Sharding {
 public:
  virtual ~Sharding() = default;

  /// Whether the coming backward passes sum gradients over the ranks, or keep them, unsummed, for a later
  /// one that does (or for `reduce_gradients`).
  virtual void set_requires_gradient_sync(bool sync) {}
  /// Whether every microbatch should be summed, because gradients that are kept unsummed are those of full
  /// parameters; else the last one of a step does it for all.
  virtual bool sums_every_microbatch() const { return false; }

  /// Gathers all parameters, to stay until `reshard`, or until a part gives its own back behind a forward of training. So
  /// ranks whose forwards are without gradients may do different numbers of them in between.
  virtual void unshard() {}
  /// Gives the gathered parameters back.
  virtual void reshard() {}
  /// Whether backward gives the parameters back that it is done with.
  virtual void set_reshard_after_backward(bool reshard) {}
  /// Sums over the ranks what backward passes without gradient sync have left.
  virtual void reduce_gradients() {}

  /// What is told of parameters, as optimizers know them, whose gradients have just been summed.
  using SummedHook = std::function<void(const std::vector<at::Tensor>& parameters)>;
  /// Calls `hook` in backward, some parameters at a time, as soon as their sums are there; it may change the
  /// parameters and let go of the gradients. False: nothing is summed here, and the hook is not kept.
  virtual bool on_summed_gradients(SummedHook hook) { return false; }

  /// Has what `extension` says gathered in the place of parameters, from the first all-gather on. False: nothing is gathered here.
  virtual bool extend(std::shared_ptr<FsdpExtension> extension) { return false; }
};

}  // namespace titan::parallel
