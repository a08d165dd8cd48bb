#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <optional>
#include <vector>

#include "titan/comm/process_group.h"

namespace titan::comm {

/// A group whose collectives are those of a c10d back end, sums included.
class C10dGroup : public ProcessGroup {
 public:
  /// What every group is made of.
  struct Members {
    std::string name;
    std::vector<std::int64_t> ranks;
    std::int64_t rank = 0;  // a place in the group
    CollectiveObserver* observer = nullptr;
  };

  static constexpr int kMessageTag = 0;  // of all messages

  C10dGroup(Members members, c10::intrusive_ptr<c10d::Backend> backend, at::Device device);
  /// Of a back end whose wait makes the current stream wait and returns, as on a GPU: that a collective takes
  /// longer than `timeout` is seen only by who looks for its end, the observer.
  C10dGroup(Members members, c10::intrusive_ptr<c10d::Backend> backend, at::Device device,
            std::chrono::milliseconds timeout);
  at::Device device() const override { return device_; }
  bool wait_returns_at_once() const override { return stream_timeout_.has_value(); }
  void set_timeout(std::chrono::milliseconds timeout) override;
  void shut_down() override;

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
  using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;

  c10::intrusive_ptr<c10d::Work> start(const Message& message);
  StartedWork started(Works works) const;

  c10::intrusive_ptr<c10d::Backend> backend_;
  at::Device device_;
  std::optional<std::chrono::milliseconds> stream_timeout_;  // none where a wait is for results
};

/// The place of a rank of the world in a group. Throws InternalError where it is no member.
std::int64_t place_in_group(const std::vector<std::int64_t>& ranks, std::int64_t rank);

/// Short text for keys in a store, of its own for every name and list of ranks.
std::string group_id(const std::string& name, const std::vector<std::int64_t>& ranks);

}  // namespace titan::comm
