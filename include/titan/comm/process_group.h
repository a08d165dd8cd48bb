#pragma once

#include <ATen/core/Tensor.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "titan/comm/collective_observer.h"

namespace titan::comm {

enum class ReduceOp { kSum, kMax };

/// A collective under way inside a back end. The tensors it works on live at least as long.
class BackendWork {
 public:
  virtual ~BackendWork() = default;
  /// Until the results are there: on a CPU for the caller, on a GPU for its current stream. Throws
  /// std::exception.
  virtual void wait() = 0;
  /// For who wants to know its end where `wait` does not last until then; null where it does.
  virtual std::unique_ptr<UnderWay> under_way() { return nullptr; }
};

/// A collective under way. It holds on to its tensors until the wait is over; to drop it is to
/// abandon its results.
class Work {
 public:
  Work() = default;
  Work(Work&&) = default;
  Work& operator=(Work&&) = default;

  /// Whether there is something to wait for.
  bool pending() const { return finish_ != nullptr; }
  /// Until the results can be used. Throws RunError that says which ranks did not come. Returns at
  /// once when there is nothing to wait for.
  void wait();

 private:
  friend class ProcessGroup;
  std::function<void()> finish_;
};

/// A tensor to or from one other rank of a group.
struct Message {
  enum class Direction { kSend, kReceive };

  at::Tensor tensor;
  std::int64_t peer = 0;  // a place in the group
  Direction direction = Direction::kSend;
};

/// The ranks that exchange tensors with one another. All ranks of a group call the same collectives
/// in the same order, from one thread each. Tensors are contiguous, on the group's device, and of
/// equal size on all ranks except where said. Every call returns at once; inputs may be changed and
/// outputs read after `Work::wait`. All that move tensors are operators ("titan::start_all_gather") to
/// whoever watches operators. All throw RunError when a peer is gone or the time is over.
class ProcessGroup {
 public:
  ProcessGroup(std::string name, std::vector<std::int64_t> ranks, std::int64_t rank,
               CollectiveObserver* observer);
  virtual ~ProcessGroup() = default;
  ProcessGroup(const ProcessGroup&) = delete;
  ProcessGroup& operator=(const ProcessGroup&) = delete;

  const std::string& name() const { return name_; }
  /// This rank's place in the group.
  std::int64_t rank() const { return rank_; }
  std::int64_t size() const { return static_cast<std::int64_t>(ranks_.size()); }
  /// The members as ranks of the world, in the group's order.
  const std::vector<std::int64_t>& ranks() const { return ranks_; }

  /// Every rank gets the sum (maximum) over all ranks, in place.
  Work all_reduce(const at::Tensor& tensor, ReduceOp op = ReduceOp::kSum);
  /// The same for several tensors of one type in one exchange.
  Work all_reduce_coalesced(const std::vector<at::Tensor>& tensors);
  /// `output` `[size() * n]` gets all ranks' `input` `[n]`, in rank order.
  Work all_gather(const at::Tensor& output, const at::Tensor& input);
  /// The same with a tensor `[n]` for each rank; this rank's may be `input`.
  Work all_gather_parts(const std::vector<at::Tensor>& outputs, const at::Tensor& input);
  /// `output` `[n]` gets this rank's part of the sum over all ranks of `input` `[size() * n]`.
  Work reduce_scatter(const at::Tensor& output, const at::Tensor& input);
  /// Sends `input_splits[r]` rows of `input` to rank r and receives `output_splits[r]` rows from it.
  Work all_to_all(const at::Tensor& output, const at::Tensor& input,
                  const std::vector<std::int64_t>& output_splits,
                  const std::vector<std::int64_t>& input_splits);
  Work broadcast(const at::Tensor& tensor, std::int64_t root);
  /// Messages to and from any peers, all under way at once, so that two ranks may both name their send
  /// first. Between two ranks messages arrive in order, however they are spread over exchanges; both
  /// sides know the sizes. Only the peers need to call it, and without messages nothing is done.
  Work exchange(const std::vector<Message>& messages);
  /// An exchange of one message.
  Work send(const at::Tensor& tensor, std::int64_t to);
  Work receive(const at::Tensor& tensor, std::int64_t from);
  /// Returns when all ranks have come.
  void barrier();

  /// What is done by who waits for rows (`all_to_all` of autograd_collectives.h), in forward and backward, while they travel;
  /// null: nothing.
  void do_meanwhile(std::function<void()> what) { meanwhile_ = std::move(what); }
  const std::function<void()>& meanwhile() const { return meanwhile_; }

  /// Whether ranks see each other's memory: then what is sent from `outgoing` is not copied, nor what comes into `incoming`.
  virtual bool shares_memory() const { return false; }
  /// A tensor `[elements]` to be filled and sent. Once it is, nobody writes to it any more: others may be reading it.
  virtual at::Tensor outgoing(std::int64_t elements, const at::TensorOptions& options);
  /// A tensor `[elements]` to be received into. It may have memory only after the wait, and is then only read, and let go of soon:
  /// it can be the sender's memory.
  virtual at::Tensor incoming(std::int64_t elements, const at::TensorOptions& options);

  /// Where the tensors of its collectives are.
  virtual at::Device device() const { return at::kCPU; }
  /// Whether a wait makes the current stream wait and returns, so that what comes next can be ordered behind a
  /// collective that has not ended.
  virtual bool wait_returns_at_once() const { return false; }

  /// How long a wait may last from now on.
  virtual void set_timeout(std::chrono::milliseconds timeout) = 0;
  /// After the last collective, on all ranks alike: takes leave of the others. A group that is destroyed
  /// without it is taken for one whose rank has failed.
  virtual void shut_down() {}

 protected:
  using StartedWork = std::unique_ptr<BackendWork>;
  virtual StartedWork do_all_reduce(const at::Tensor& tensor, ReduceOp op) = 0;
  virtual StartedWork do_all_gather(const at::Tensor& output, const at::Tensor& input) = 0;
  /// Where nothing else is said, by `do_all_gather` and copies once it is waited for.
  virtual StartedWork do_all_gather_parts(const std::vector<at::Tensor>& outputs,
                                          const at::Tensor& input);
  virtual StartedWork do_reduce_scatter(const at::Tensor& output, const at::Tensor& input) = 0;
  virtual StartedWork do_all_to_all(const at::Tensor& output, const at::Tensor& input,
                                    const std::vector<std::int64_t>& output_splits,
                                    const std::vector<std::int64_t>& input_splits) = 0;
  virtual StartedWork do_broadcast(const at::Tensor& tensor, std::int64_t root) = 0;
  virtual StartedWork do_exchange(const std::vector<Message>& messages) = 0;
  virtual StartedWork do_barrier() = 0;

 private:
  // What the operators do.
  friend struct StartOperators;
  Work start_all_reduce(const at::Tensor& tensor, bool maximum);
  Work start_all_reduce_coalesced(at::TensorList tensors);
  Work start_all_gather(const at::Tensor& output, const at::Tensor& input);
  Work start_all_gather_parts(at::TensorList outputs, const at::Tensor& input);
  Work start_reduce_scatter(const at::Tensor& output, const at::Tensor& input);
  Work start_all_to_all(const at::Tensor& output, const at::Tensor& input,
                        at::IntArrayRef output_splits, at::IntArrayRef input_splits);
  Work start_broadcast(const at::Tensor& tensor, std::int64_t root);
  Work start_exchange(at::TensorList sent, at::IntArrayRef destinations, at::TensorList received,
                      at::IntArrayRef sources);

  struct Observation;
  using Start = std::function<StartedWork()>;
  /// A collective: takes the group's next number.
  Work collective(std::string_view operation, std::int64_t bytes, const Start& start,
                  std::vector<at::Tensor> tensors, std::function<void()> afterwards = nullptr);
  Work observe(std::shared_ptr<Observation> seen, const Start& start);

  std::string name_;
  std::vector<std::int64_t> ranks_;
  std::int64_t rank_;
  CollectiveObserver* observer_;
  std::uint64_t sequence_ = 0;   // of collectives
  std::uint64_t exchanges_ = 0;  // of messages
  std::function<void()> meanwhile_;
};

/// Makes groups of one kind. One object per rank.
class Backend {
 public:
  virtual ~Backend() = default;
  /// As "gloo".
  virtual std::string_view name() const = 0;
  /// Where the tensors of its groups' collectives are.
  virtual at::Device device() const { return at::kCPU; }
  /// A group of these ranks of the world, which all call it with the same name and list. Throws
  /// RunError when they do not come within `timeout`.
  virtual std::unique_ptr<ProcessGroup> make_group(const std::string& name,
                                                   const std::vector<std::int64_t>& ranks,
                                                   std::chrono::milliseconds timeout,
                                                   CollectiveObserver* observer) = 0;
};

}  // namespace titan::comm
