#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "titan/comm/process_group.h"
#include "titan/nn/module.h"
#include "titan/parallel/sharding.h"

namespace titan::parallel {

/// Replicated data parallelism: every rank has all parameters, and gradients are summed over the
/// ranks in buckets, each as soon as it is full, while backward goes on. The twin of
/// DistributedDataParallel; Li et al. 2020. Weights must be equal on all ranks from the start.
class Ddp : public Sharding, public std::enable_shared_from_this<Ddp> {
 public:
  /// Hooks keep the object alive as long as the model. `group` outlives the model.
  static std::shared_ptr<Ddp> apply(nn::Module& model, comm::ProcessGroup& group,
                                    std::int64_t bucket_bytes = 100 << 20);

  /// When backward passes did not sum, the next that does sums everything accumulated until then: exactly
  /// once per step.
  void set_requires_gradient_sync(bool sync) override { sync_ = sync; }
  void reduce_gradients() override;
  bool on_summed_gradients(SummedHook hook) override {
    on_summed_ = std::move(hook);
    return true;
  }

 private:
  /// Gradients, then one number per parameter: on how many ranks it has a gradient.
  struct Bucket {
    std::vector<at::Tensor> parameters;
    at::Tensor flat;  // reused from step to step
    std::size_t ready = 0;
    comm::Work sum;
  };

  Ddp(comm::ProcessGroup& group, std::int64_t bucket_bytes);
  void make_buckets(const std::vector<nn::NamedParameter>& parameters);
  void gradient_is_ready(std::size_t bucket);
  static void start(Bucket& bucket, comm::ProcessGroup& group);
  static void finish(Bucket& bucket);
  void end_backward();

  comm::ProcessGroup& group_;
  std::int64_t bucket_bytes_;
  std::vector<Bucket> buckets_;
  SummedHook on_summed_;
  bool in_backward_ = false;
  bool sync_ = true;
  bool is_owed_sum_ = false;  // by backward passes without sync
};

}  // namespace titan::parallel
