#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "titan/comm/process_group.h"
#include "titan/nn/module.h"

namespace titan::parallel {

struct FsdpOptions {
  /// Ranks that hold a shard each. Outlives the model.
  comm::ProcessGroup* shard = nullptr;
  /// Ranks that hold the same shard (HSDP), or null.
  comm::ProcessGroup* replicate = nullptr;
  /// Type of gathered parameters and of floating-point inputs; nothing: the parameters' own.
  std::optional<at::ScalarType> param_dtype;
  /// Type that gradients are summed in; nothing: their own.
  std::optional<at::ScalarType> reduce_dtype;
  /// Where modules compute. Shards may be elsewhere: in CPU memory, copied to the device when they
  /// are gathered, their gradients copied back.
  at::Device device = at::kCPU;
};

class FsdpUnit;
class BufferPool;

/// Fully sharded data parallelism on one model: every parameter is cut along dimension 0, each rank
/// keeps one part, and full parameters exist only while a unit runs (docs/design.md, "Sharded
/// parameters"). The twin of PyTorch's fully_shard (FSDP2); Zhao et al. 2023. Gradients are summed
/// over all ranks.
///
/// Use: create it for a model on the meta device, wrap inner modules, then the root; then `to_empty`,
/// `init_weights`. Hooks keep the object alive as long as the model.
class Fsdp : public std::enable_shared_from_this<Fsdp> {
 public:
  static std::shared_ptr<Fsdp> create(nn::Module& root, const FsdpOptions& options);
  ~Fsdp();

  /// Makes one unit of all parameters below these modules that no earlier unit has and no module
  /// elsewhere shares (tied weights are left to the root). The modules run one after the other:
  /// parameters are gathered before the first and given back after the last, in forward only when
  /// `reshard_after_forward`.
  void wrap(const std::vector<nn::Module*>& modules, bool reshard_after_forward);
  /// The rest of the model's parameters; call it last. They stay gathered from forward to backward.
  void wrap_root();

  /// Whether the coming backward passes sum gradients over the ranks, or keep them, unsharded, for
  /// a later one that does.
  void set_requires_gradient_sync(bool sync) { sync_ = sync; }

  /// The most bytes of full parameters that were held at once since the last call.
  std::int64_t take_peak_unsharded_bytes();

 private:
  Fsdp(nn::Module& root, const FsdpOptions& options);
  void add_unit(const std::vector<nn::Module*>& modules, bool reshard_after_forward);
  void before_forward(std::size_t unit, nn::Tensors& inputs);
  void after_forward(std::size_t unit, nn::Tensors& outputs);
  void start_backward(std::size_t unit);
  void finish_backward(std::size_t unit);
  void end_backward();
  void settle_reductions(std::size_t still_running);
  void note_unsharded_bytes();

  nn::Module& root_;
  FsdpOptions options_;
  std::unique_ptr<BufferPool> pool_;
  std::vector<std::unique_ptr<FsdpUnit>> units_;  // in forward order
  std::vector<std::size_t> reducing_;  // units whose gradients are on their way, oldest first
  bool in_backward_ = false;
  bool sync_ = true;
  std::int64_t peak_unsharded_bytes_ = 0;
};

}  // namespace titan::parallel
