#pragma once

#include <atomic>
#include <chrono>

#include "comm/c10d_group.h"
#include "comm/finishing_thread.h"
#include "comm/scratch_pool.h"

namespace titan::comm {

/// A group over ProcessGroupGloo, which only carries messages here: all ranks send to all others at
/// once, at three to five times the speed of its rings, and sums are taken in rank order. A sum that
/// waits for messages is finished by the group's own thread.
class GlooGroup : public C10dGroup {
 public:
  GlooGroup(Members members, c10::intrusive_ptr<c10d::Backend> gloo,
            std::chrono::milliseconds timeout);
  void set_timeout(std::chrono::milliseconds timeout) override;

 protected:
  StartedWork do_all_reduce(const at::Tensor& tensor, ReduceOp op) override;
  StartedWork do_all_gather(const at::Tensor& output, const at::Tensor& input) override;
  StartedWork do_reduce_scatter(const at::Tensor& output, const at::Tensor& input) override;
  StartedWork do_all_to_all(const at::Tensor& output, const at::Tensor& input,
                            const std::vector<std::int64_t>& output_splits,
                            const std::vector<std::int64_t>& input_splits) override;
  StartedWork do_broadcast(const at::Tensor& tensor, std::int64_t root) override;
  StartedWork do_exchange(const std::vector<Message>& messages) override;
  StartedWork do_barrier() override;

 private:
  class Wire;
  class Transfers;
  using Tensors = std::vector<at::Tensor>;  // one per rank

  StartedWork all_reduce_small(const at::Tensor& tensor, ReduceOp op);
  StartedWork all_reduce_large(const at::Tensor& tensor, ReduceOp op);
  /// What comes in from the others, in borrowed rows; this rank's own row is `own`.
  Tensors rows_around(const at::Tensor& own, std::shared_ptr<const at::Tensor>& scratch);
  int next_tag();

  std::shared_ptr<Wire> wire_;
  std::shared_ptr<ScratchPool> scratch_ = std::make_shared<ScratchPool>();
  std::uint32_t exchanges_ = 0;
  FinishingThread finishing_;  // the last member: it ends first
};

}  // namespace titan::comm
