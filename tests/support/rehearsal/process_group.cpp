#include "support/rehearsal/process_group.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <c10/core/Event.h>
#include <c10/core/GradMode.h>
#include <c10/core/StreamGuard.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <map>
#include <utility>

#include "comm/c10d_group.h"
#include "support/rehearsal/queued.h"
#include "titan/base/errors.h"

namespace titan::test::rehearsal {

namespace {

/// What a rank brings: elements, to be read and written when all streams have come.
struct Share {
  at::Tensor output;
  at::Tensor input;
  std::vector<std::int64_t> output_splits;
  std::vector<std::int64_t> input_splits;
};

Share& share_of(Meeting& meeting, std::size_t place) {
  return *static_cast<Share*>(meeting.members[place].contribution.get());
}

/// Everybody's input as it was, whatever is written over it.
std::vector<at::Tensor> inputs_of(Meeting& meeting) {
  std::vector<at::Tensor> inputs;
  for (std::size_t i = 0; i < meeting.members.size(); ++i) {
    inputs.push_back(share_of(meeting, i).input.clone());
  }
  return inputs;
}

at::Tensor part(const at::Tensor& tensor, std::int64_t index, std::int64_t count) {
  const std::int64_t length = tensor.numel() / count;
  return tensor.view(-1).narrow(0, index * length, length);
}

void all_reduce(Meeting& meeting, bool maximum) {
  const std::vector<at::Tensor> inputs = inputs_of(meeting);
  at::Tensor result = inputs.front();
  for (std::size_t i = 1; i < inputs.size(); ++i) {
    maximum ? result.copy_(result.maximum(inputs[i])) : result.add_(inputs[i]);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i) share_of(meeting, i).output.copy_(result);
}

void all_gather(Meeting& meeting) {
  const std::vector<at::Tensor> inputs = inputs_of(meeting);
  const auto ranks = static_cast<std::int64_t>(inputs.size());
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    for (std::int64_t from = 0; from < ranks; ++from) {
      part(share_of(meeting, i).output, from, ranks)
          .copy_(inputs[static_cast<std::size_t>(from)].view(-1));
    }
  }
}

void reduce_scatter(Meeting& meeting) {
  const std::vector<at::Tensor> inputs = inputs_of(meeting);
  const auto ranks = static_cast<std::int64_t>(inputs.size());
  for (std::int64_t place = 0; place < ranks; ++place) {
    const at::Tensor sum = share_of(meeting, static_cast<std::size_t>(place)).output.view(-1);
    sum.copy_(part(inputs.front(), place, ranks));
    for (std::size_t i = 1; i < inputs.size(); ++i) sum.add_(part(inputs[i], place, ranks));
  }
}

void all_to_all(Meeting& meeting) {
  std::vector<std::vector<at::Tensor>> parts;
  for (std::size_t i = 0; i < meeting.members.size(); ++i) {
    parts.push_back(
        share_of(meeting, i).input.clone().split_with_sizes(share_of(meeting, i).input_splits));
  }
  for (std::size_t to = 0; to < parts.size(); ++to) {
    std::vector<at::Tensor> received;
    for (const auto& from : parts) received.push_back(from[to]);
    share_of(meeting, to).output.copy_(at::cat(received));
  }
}

void broadcast(Meeting& meeting, std::size_t root) {
  for (std::size_t i = 0; i < meeting.members.size(); ++i) {
    if (i != root) share_of(meeting, i).output.copy_(share_of(meeting, root).input);
  }
}

class RehearsalWork : public c10d::Work {
 public:
  RehearsalWork(const c10::Stream& stream, bool host_waits)
      : done_(stream.device_type()), device_(stream.device()), host_waits_(host_waits) {
    done_.record(stream);
    end_ = Machine::instance().now({stream.device_index(), static_cast<int>(stream.id())});
  }
  bool isCompleted() override { return done_.query(); }
  bool isSuccess() const override { return true; }
  bool wait(std::chrono::milliseconds) override {
    if (host_waits_) {
      done_.synchronize();
      return true;
    }
    const StreamId waits = current_stream(device_);
    const bool forgets =
        ++faults().waits.at(static_cast<std::size_t>(device_.index())) == faults().forgotten_wait ||
        (waits.number > 0 && faults().side_streams_forget);
    if (!forgets) Machine::instance().order(waits, end_);
    return true;
  }

 private:
  c10::Event done_;
  Moment end_;
  at::Device device_;
  bool host_waits_;
};

class RehearsalGroup : public c10d::Backend {
 public:
  RehearsalGroup(std::string name, std::size_t rank, std::size_t size, at::Device device)
      : Backend(static_cast<int>(rank), static_cast<int>(size)),
        name_(std::move(name)),
        device_(device),
        stream_(c10::impl::VirtualGuardImpl(device.type()).getStreamFromGlobalPool(device, true)) {}

  const std::string getBackendName() const override { return "rehearsal"; }
  void setTimeout(std::chrono::milliseconds) override {}

  c10::intrusive_ptr<c10d::Work> allreduce(std::vector<at::Tensor>& tensors,
                                           const c10d::AllreduceOptions& options) override {
    const bool maximum = options.reduceOp == c10d::ReduceOp::MAX;
    return start({elements(tensors.at(0)), elements(tensors.at(0)), {}, {}},
                 [maximum](Meeting& meeting) { all_reduce(meeting, maximum); });
  }
  c10::intrusive_ptr<c10d::Work> _allgather_base(at::Tensor& output, at::Tensor& input,
                                                 const c10d::AllgatherOptions&) override {
    return start({elements(output), elements(input), {}, {}}, &rehearsal::all_gather);
  }
  c10::intrusive_ptr<c10d::Work> _reduce_scatter_base(at::Tensor& output, at::Tensor& input,
                                                      const c10d::ReduceScatterOptions&) override {
    return start({elements(output), elements(input), {}, {}}, &rehearsal::reduce_scatter);
  }
  c10::intrusive_ptr<c10d::Work> alltoall_base(at::Tensor& output, at::Tensor& input,
                                               std::vector<std::int64_t>& output_splits,
                                               std::vector<std::int64_t>& input_splits,
                                               const c10d::AllToAllOptions&) override {
    return start({elements(output), elements(input), output_splits, input_splits},
                 &rehearsal::all_to_all);
  }
  c10::intrusive_ptr<c10d::Work> broadcast(std::vector<at::Tensor>& tensors,
                                           const c10d::BroadcastOptions& options) override {
    const auto root = static_cast<std::size_t>(options.rootRank);
    return start({elements(tensors.at(0)), elements(tensors.at(0)), {}, {}},
                 [root](Meeting& meeting) { rehearsal::broadcast(meeting, root); });
  }
  c10::intrusive_ptr<c10d::Work> send(std::vector<at::Tensor>& tensors, int peer, int) override {
    return message([this, peer, from = elements(tensors.at(0))](StreamId own, Moment place) {
      Machine::instance().post(own, place, channel(getRank(), peer), sent_[peer]++, [from] {
        const KernelScope scope;
        return std::make_shared<at::Tensor>(from.clone());
      });
    });
  }
  c10::intrusive_ptr<c10d::Work> recv(std::vector<at::Tensor>& tensors, int peer, int) override {
    const at::Tensor to = elements(tensors.at(0));
    receives_.push_back([this, peer, to] {
      Machine::instance().take(own_stream(), channel(peer, getRank()), received_[peer]++,
                               [to](const std::shared_ptr<void>& content) {
                                 const KernelScope scope;
                                 to.copy_(*static_cast<const at::Tensor*>(content.get()));
                               });
    });
    return message([](StreamId, Moment) {});
  }
  bool supportsCoalescing() const override { return true; }
  void startCoalescing() override {
    begin();
    coalesces_ = true;
    begin_ = Machine::instance().now(own_stream());
  }
  /// What is received is behind what is sent, so that two ranks may send to each other.
  c10::intrusive_ptr<c10d::Work> endCoalescing() override {
    coalesces_ = false;
    for (const auto& receive : std::exchange(receives_, {})) receive();
    return c10::make_intrusive<RehearsalWork>(stream_, false);
  }
  c10::intrusive_ptr<c10d::Work> barrier(const c10d::BarrierOptions&) override {
    return start(
        {}, [](Meeting&) {}, /*host_waits=*/true);
  }

 private:
  at::Tensor elements(const at::Tensor& tensor) const {
    TORCH_CHECK(tensor.device() == device_, "a group of ", device_, " cannot send a tensor on ",
                tensor.device());
    return elements_of(tensor);
  }

  StreamId own_stream() const { return {device_.index(), static_cast<int>(stream_.id())}; }

  /// Behind what the current stream has to do.
  void begin() {
    Machine& machine = Machine::instance();
    machine.order(own_stream(), machine.now(current_stream(device_)));
  }

  std::string channel(int from, int to) const { return concat(name_, ": ", from, " to ", to); }

  /// One of several, or all of an exchange.
  template <class Post>
  c10::intrusive_ptr<c10d::Work> message(const Post& post) {
    const bool is_alone = !coalesces_;
    if (is_alone) startCoalescing();
    post(own_stream(), begin_);
    return is_alone ? endCoalescing() : nullptr;
  }

  c10::intrusive_ptr<c10d::Work> start(Share share, std::function<void(Meeting&)> perform,
                                       bool host_waits = false) {
    begin();
    Machine& machine = Machine::instance();
    // It never ends where it waits for one more than there are.
    const bool is_endless = ++faults().collectives.at(static_cast<std::size_t>(device_.index())) ==
                            faults().endless_collective;
    const auto size = static_cast<std::size_t>(getSize()) + (is_endless ? 1 : 0);
    machine.meet(own_stream(), name_, number_++, static_cast<std::size_t>(getRank()), size,
                 std::make_shared<Share>(std::move(share)),
                 [perform = std::move(perform)](Meeting& meeting) {
                   const KernelScope scope;
                   perform(meeting);
                 });
    return c10::make_intrusive<RehearsalWork>(stream_, host_waits);
  }

  std::string name_;
  at::Device device_;
  c10::Stream stream_;
  std::uint64_t number_ = 0;
  std::map<int, std::uint64_t> sent_;
  std::map<int, std::uint64_t> received_;
  bool coalesces_ = false;
  Moment begin_;
  std::vector<std::function<void()>> receives_;
};

class RehearsalBackend : public comm::Backend {
 public:
  RehearsalBackend(std::string job, std::int64_t rank, at::Device device)
      : job_(std::move(job)), rank_(rank), device_(device) {}

  std::string_view name() const override { return "rehearsal"; }
  at::Device device() const override { return device_; }
  std::unique_ptr<comm::ProcessGroup> make_group(const std::string& name,
                                                 const std::vector<std::int64_t>& ranks,
                                                 std::chrono::milliseconds timeout,
                                                 comm::CollectiveObserver* observer) override {
    const std::int64_t place = comm::place_in_group(ranks, rank_);
    const std::string id = comm::group_id(name, ranks);
    const std::string unique = concat(job_, "/", name, "/", id, "/", made_[id]++);
    return std::make_unique<comm::C10dGroup>(
        comm::C10dGroup::Members{name, ranks, place, observer},
        c10::make_intrusive<RehearsalGroup>(unique, static_cast<std::size_t>(place), ranks.size(),
                                            device_),
        device_, timeout);
  }

 private:
  std::string job_;
  std::int64_t rank_;
  at::Device device_;
  std::map<std::string, int> made_;
};

}  // namespace

std::unique_ptr<comm::Backend> make_rehearsal_backend(const std::string& job, std::int64_t rank,
                                                      at::Device device) {
  return std::make_unique<RehearsalBackend>(job, rank, device);
}

}  // namespace titan::test::rehearsal
