#include "comm/c10d_group.h"

#include <c10/core/DeviceGuard.h>

#include <algorithm>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/sha256.h"

namespace titan::comm {

namespace {

using Works = std::vector<c10::intrusive_ptr<c10d::Work>>;

/// Until the back end itself gives up, which ends the process without saying who is missing: time enough
/// for the observer to say it, and for a job to be suspended.
constexpr std::chrono::minutes kBackEndsOwnPatience(10);

class C10dUnderWay : public UnderWay {
 public:
  C10dUnderWay(Works works, at::Device device, std::chrono::milliseconds limit)
      : UnderWay(limit), works_(std::move(works)), device_(device) {}

  bool has_ended() override {
    // A thread that asks with device 0 as its current one would open a context there.
    const c10::DeviceGuard current_device(device_);
    for (const auto& work : works_) {
      if (!work->isCompleted()) return false;
      if (const std::exception_ptr error = work->exception()) std::rethrow_exception(error);
    }
    return true;
  }

 private:
  Works works_;
  at::Device device_;
};

/// One, or several that were started one by one.
class C10dWork : public BackendWork {
 public:
  explicit C10dWork(Works works) : works_(std::move(works)) {}
  void wait() override {
    for (const auto& work : works_) work->wait();
  }

 protected:
  const Works& works() const { return works_; }

 private:
  Works works_;
};

/// Whose wait does not last until its end.
class C10dStreamWork : public C10dWork {
 public:
  C10dStreamWork(Works works, at::Device device, std::chrono::milliseconds limit)
      : C10dWork(std::move(works)), device_(device), limit_(limit) {}
  std::unique_ptr<UnderWay> under_way() override {
    return std::make_unique<C10dUnderWay>(works(), device_, limit_);
  }

 private:
  at::Device device_;
  std::chrono::milliseconds limit_;
};

c10d::ReduceOp c10d_op(ReduceOp op) {
  return op == ReduceOp::kSum ? c10d::ReduceOp::SUM : c10d::ReduceOp::MAX;
}

}  // namespace

C10dGroup::C10dGroup(Members members, c10::intrusive_ptr<c10d::Backend> backend, at::Device device)
    : ProcessGroup(std::move(members.name), std::move(members.ranks), members.rank,
                   members.observer),
      backend_(std::move(backend)),
      device_(device) {}

C10dGroup::C10dGroup(Members members, c10::intrusive_ptr<c10d::Backend> backend, at::Device device,
                     std::chrono::milliseconds timeout)
    : C10dGroup(std::move(members), std::move(backend), device) {
  stream_timeout_ = timeout;
  C10dGroup::set_timeout(timeout);
}

void C10dGroup::set_timeout(std::chrono::milliseconds timeout) {
  if (stream_timeout_) {
    stream_timeout_ = timeout;
    timeout += kBackEndsOwnPatience;
  }
  backend_->setTimeout(timeout);
}

void C10dGroup::shut_down() { backend_->shutdown(); }

ProcessGroup::StartedWork C10dGroup::started(Works works) const {
  if (!stream_timeout_) return std::make_unique<C10dWork>(std::move(works));
  return std::make_unique<C10dStreamWork>(std::move(works), device_, *stream_timeout_);
}

// c10d takes tensors by non-const reference; the handles are copied for it.

ProcessGroup::StartedWork C10dGroup::do_all_reduce(const at::Tensor& tensor, ReduceOp op) {
  std::vector<at::Tensor> tensors{tensor};
  c10d::AllreduceOptions options;
  options.reduceOp = c10d_op(op);
  return started({backend_->allreduce(tensors, options)});
}

ProcessGroup::StartedWork C10dGroup::do_all_gather(const at::Tensor& output,
                                                   const at::Tensor& input) {
  at::Tensor to = output;
  at::Tensor from = input;
  return started({backend_->_allgather_base(to, from)});
}

ProcessGroup::StartedWork C10dGroup::do_reduce_scatter(const at::Tensor& output,
                                                       const at::Tensor& input) {
  at::Tensor to = output;
  at::Tensor from = input;
  return started({backend_->_reduce_scatter_base(to, from)});
}

ProcessGroup::StartedWork C10dGroup::do_all_to_all(const at::Tensor& output,
                                                   const at::Tensor& input,
                                                   const std::vector<std::int64_t>& output_splits,
                                                   const std::vector<std::int64_t>& input_splits) {
  at::Tensor to = output;
  at::Tensor from = input;
  std::vector<std::int64_t> receives = output_splits;
  std::vector<std::int64_t> sends = input_splits;
  return started({backend_->alltoall_base(to, from, receives, sends)});
}

ProcessGroup::StartedWork C10dGroup::do_broadcast(const at::Tensor& tensor, std::int64_t root) {
  std::vector<at::Tensor> tensors{tensor};
  c10d::BroadcastOptions options;
  options.rootRank = root;
  return started({backend_->broadcast(tensors, options)});
}

c10::intrusive_ptr<c10d::Work> C10dGroup::start(const Message& message) {
  std::vector<at::Tensor> tensors{message.tensor};
  const int peer = static_cast<int>(message.peer);
  return message.direction == Message::Direction::kSend
             ? backend_->send(tensors, peer, kMessageTag)
             : backend_->recv(tensors, peer, kMessageTag);
}

ProcessGroup::StartedWork C10dGroup::do_exchange(const std::vector<Message>& messages) {
  if (!backend_->supportsCoalescing()) {
    Works all;
    for (const Message& message : messages) all.push_back(start(message));
    return started(std::move(all));
  }
  // One message too: outside of a coalesced call NCCL's back end would send it over a communicator of
  // the two ranks, where a peer that receives it among others does not look.
  backend_->startCoalescing();
  try {
    for (const Message& message : messages) start(message);
  } catch (...) {
    backend_->endCoalescing();
    throw;
  }
  return started({backend_->endCoalescing()});
}

ProcessGroup::StartedWork C10dGroup::do_barrier() {
  c10d::BarrierOptions options;
  options.device = device_;
  return started({backend_->barrier(options)});
}

std::int64_t place_in_group(const std::vector<std::int64_t>& ranks, std::int64_t rank) {
  const auto found = std::ranges::find(ranks, rank);
  TITAN_CHECK(found != ranks.end(), "rank ", rank, " makes a group that it is not in");
  return found - ranks.begin();
}

std::string group_id(const std::string& name, const std::vector<std::int64_t>& ranks) {
  return base::sha256_hex(name + ": " + joined(ranks)).substr(0, 24);
}

}  // namespace titan::comm
