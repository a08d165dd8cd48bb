#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Stream.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <unordered_set>
#include <utility>
#include <vector>

#include "titan/nn/module.h"
#include "titan/parallel/fsdp_unit.h"
#include "titan/parallel/sharding.h"

namespace titan::parallel {

struct FsdpOptions {
  /// Of all units. Floating-point inputs of their modules are cast to `param_dtype`.
  UnitTypes types;
  /// Where modules compute. Shards may be elsewhere: in CPU memory, copied to the device when they
  /// are gathered, their gradients copied back.
  at::Device device = at::kCPU;
  /// Whether memory that is done with is kept for the next use. A GPU's allocator does that itself.
  bool keeps_buffers = true;
};

/// Fully sharded data parallelism of one model part: each rank keeps one part of every parameter, and full
/// parameters exist only while a unit runs (docs/design.md, "Sharded parameters"). The twin of PyTorch's
/// fully_shard (FSDP2); Zhao et al. 2023. Gradients are summed over all ranks.
///
/// Use: create it for a model on the meta device, wrap inner modules, then those around them, then the
/// rest; then `to_empty`, `init_weights`. What training needs happens around the modules' calls, which keep
/// the object alive as long as the model; the verbs of `Sharding` and of the units are for others.
class Fsdp : public Sharding, public std::enable_shared_from_this<Fsdp> {
 public:
  static std::shared_ptr<Fsdp> create(nn::Module& root, const FsdpOptions& options);
  ~Fsdp() override;

  /// Makes one unit of all parameters below these modules that are here, that no earlier unit has and no
  /// module elsewhere shares (tied weights are left to a unit around both). The modules run one after the
  /// other: parameters are gathered before the first and, where the unit reshards, given back after the
  /// last. A module within may have a unit of its own, on other ranks. Null when no parameter is left.
  FsdpUnit* wrap(std::vector<nn::Module*> modules, const UnitOptions& options);
  /// The rest of the model's parameters; call it last. They stay gathered from forward to backward.
  FsdpUnit* wrap_root(UnitOptions options);

  void set_requires_gradient_sync(bool sync) override { sync_ = sync; }
  /// Full gradients would not fit.
  bool sums_every_microbatch() const override { return true; }
  void unshard() override;
  void reshard() override;
  void set_reshard_after_backward(bool reshard) override { reshard_after_backward_ = reshard; }
  void reduce_gradients() override;
  bool on_summed_gradients(SummedHook hook) override {
    on_summed_ = std::move(hook);
    return true;
  }

  /// The most bytes of full parameters that were held at once since the last call.
  std::int64_t take_peak_unsharded_bytes();

 private:
  /// A unit and the modules between which it is gathered.
  struct Wrapped {
    std::unique_ptr<FsdpUnit> unit;
    nn::Module* first;
    nn::Module* last;
  };

  Fsdp(nn::Module& root, const FsdpOptions& options);
  std::vector<nn::Parameter*> parameters_to_take(const std::vector<nn::Module*>& modules) const;
  void order_prefetches();
  void before_forward(FsdpUnit& unit, nn::Inputs& inputs);
  void after_forward(FsdpUnit& unit, nn::Tensors& outputs);
  void start_backward(FsdpUnit& unit);
  void finish_backward(FsdpUnit& unit);
  void end_backward();
  void start_reduce(FsdpUnit& unit);
  void settle_reductions(std::size_t still_running);
  void note_summed(const std::vector<at::Tensor>& parameters);
  void note_unsharded_bytes();

  nn::Module& root_;
  FsdpOptions options_;
  std::shared_ptr<BufferPool> pool_;
  std::vector<Wrapped> units_;  // as they were wrapped
  std::unordered_set<const nn::Parameter*> taken_;
  bool prefetches_ordered_ = false;
  std::optional<c10::Stream>
      all_reduces_;                  // where those of replicas wait for their reduce-scatters
  std::vector<FsdpUnit*> reducing_;  // units whose gradients are on their way, oldest first
  std::vector<FsdpUnit*> landing_;  // reduced; the gradients of offloaded parts may be on their way
  bool end_is_awaited_ = false;     // of the backward pass that runs
  SummedHook on_summed_;
  bool sync_ = true;
  bool reshard_after_backward_ = true;
  bool is_held_ = false;  // from `unshard` to `reshard`
  std::int64_t peak_unsharded_bytes_ = 0;
};

}  // namespace titan::parallel
