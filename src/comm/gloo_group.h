#pragma once

#include <atomic>
#include <chrono>

#include "c10d_group.h"
#include "finishing_thread.h"
#include "scratch_pool.h"

namespace titan::comm {

/// A group over ProcessGroupGloo, which only moves bytes here: sums are taken in rank order. A sum
/// that waits for bytes is finished by the group's own thread.
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
  StartedWork do_send(const at::Tensor& tensor, std::int64_t to) override;
  StartedWork do_receive(const at::Tensor& tensor, std::int64_t from) override;
  StartedWork do_barrier() override;

 private:
  /// What the group's work needs of it, should the group end first.
  struct Wire {
    explicit Wire(std::chrono::milliseconds limit) : timeout(limit) {}

    c10::intrusive_ptr<c10d::Backend> gloo;
    std::atomic<std::chrono::milliseconds> timeout;
  };
  class Message;

  StartedWork all_reduce_small(const at::Tensor& tensor, ReduceOp op);
  StartedWork all_reduce_large(const at::Tensor& tensor, ReduceOp op);
  static void exchange_parts(Wire& wire, const std::vector<at::Tensor>& parts, std::int64_t mine,
                             int tag);

  std::shared_ptr<Wire> wire_;
  std::shared_ptr<ScratchPool> scratch_ = std::make_shared<ScratchPool>();
  std::uint32_t large_all_reduces_ = 0;
  FinishingThread finishing_;  // the last member: it ends first
};

}  // namespace titan::comm
