#include "titan/comm/process_group.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/record_function.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <exception>
#include <numeric>
#include <utility>

#include "comm/error_reason.h"
#include "titan/base/errors.h"

namespace titan::comm {

namespace {

std::int64_t sum_of(at::IntArrayRef numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), std::int64_t{0});
}

/// An all-gather whose parts are copied to where they are wanted.
class GatherThenCopy : public BackendWork {
 public:
  GatherThenCopy(std::unique_ptr<BackendWork> gather, at::Tensor gathered,
                 std::vector<at::Tensor> outputs)
      : gather_(std::move(gather)), gathered_(std::move(gathered)), outputs_(std::move(outputs)) {}
  void wait() override {
    if (gather_) gather_->wait();
    for (std::size_t i = 0; i < outputs_.size(); ++i) {
      outputs_[i].copy_(gathered_[static_cast<std::int64_t>(i)].view(outputs_[i].sizes()));
    }
  }
  std::unique_ptr<UnderWay> under_way() override {
    return gather_ ? gather_->under_way() : nullptr;
  }

 private:
  std::unique_ptr<BackendWork> gather_;
  at::Tensor gathered_;  // [ranks, n]
  std::vector<at::Tensor> outputs_;
};

}  // namespace

void Work::wait() {
  if (const std::function<void()> finish = std::exchange(finish_, nullptr)) finish();
}

at::Tensor ProcessGroup::outgoing(std::int64_t elements, const at::TensorOptions& options) {
  return at::empty({elements}, options);
}

at::Tensor ProcessGroup::incoming(std::int64_t elements, const at::TensorOptions& options) {
  return at::empty({elements}, options);
}

std::unique_ptr<BackendWork> ProcessGroup::do_all_gather_parts(
    const std::vector<at::Tensor>& outputs, const at::Tensor& input) {
  const at::Tensor gathered = at::empty({size(), input.numel()}, input.options());
  return std::make_unique<GatherThenCopy>(do_all_gather(gathered, input), gathered, outputs);
}

/// One collective from its start to the end of its wait.
struct ProcessGroup::Observation {
  CollectiveObserver* observer;
  CollectiveCall call;
  std::string group;  // what `call` names, should the group be gone before the wait
  std::vector<std::int64_t> peers;
  std::uint64_t id = 0;
  bool followed = false;
  std::unique_ptr<BackendWork> work;
  std::vector<at::Tensor> tensors;  // kept alive
  std::function<void()> afterwards;

  [[noreturn]] void fail(const std::exception& error) const {
    const std::string reason = reason_of(error);
    if (observer != nullptr) throw RunError(observer->explain(id, call, reason));
    throw RunError(concat(call.operation, " #", call.sequence, " of ", group, " failed: ", reason));
  }

  void finish() {
    at::RecordFunction record(at::RecordScope::USER_SCOPE);
    if (record.isActive()) record.before(concat("wait ", call.operation, " of ", group));
    try {
      if (work) work->wait();
      if (afterwards) afterwards();
    } catch (const std::exception& error) {
      fail(error);
    }
    if (observer != nullptr && !followed) observer->finished(id);
  }

  /// Has the observer look for the end where the wait will not see it.
  void follow() {
    if (observer == nullptr || work == nullptr) return;
    if (auto rest = work->under_way()) followed = observer->follow(id, call, std::move(rest));
  }
};

ProcessGroup::ProcessGroup(std::string name, std::vector<std::int64_t> ranks, std::int64_t rank,
                           CollectiveObserver* observer)
    : name_(std::move(name)), ranks_(std::move(ranks)), rank_(rank), observer_(observer) {
  TITAN_CHECK(rank_ >= 0 && rank_ < size(), "rank ", rank_, " is not in a group of ", size());
}

Work ProcessGroup::collective(std::string_view operation, std::int64_t bytes, const Start& start,
                              std::vector<at::Tensor> tensors, std::function<void()> afterwards) {
  auto seen = std::make_shared<Observation>();
  seen->call.operation = operation;
  seen->call.sequence = ++sequence_;
  seen->call.bytes = bytes;
  seen->tensors = std::move(tensors);
  seen->afterwards = std::move(afterwards);
  return observe(std::move(seen), start);
}

Work ProcessGroup::start_exchange(at::TensorList sent, at::IntArrayRef destinations,
                                  at::TensorList received, at::IntArrayRef sources) {
  std::vector<Message> messages;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    messages.push_back({sent[i], destinations[i], Message::Direction::kSend});
  }
  for (std::size_t i = 0; i < received.size(); ++i) {
    messages.push_back({received[i], sources[i], Message::Direction::kReceive});
  }
  auto seen = std::make_shared<Observation>();
  for (const Message& message : messages) {
    const bool sends = message.direction == Message::Direction::kSend;
    seen->call.operation = messages.size() > 1 ? "exchange" : sends ? "send" : "receive";
    TITAN_CHECK(message.tensor.is_contiguous(), seen->call.operation, " needs a contiguous tensor");
    TITAN_CHECK(message.peer >= 0 && message.peer < size() && message.peer != rank_,
                seen->call.operation, " of rank ", rank_, " of ", size(), " with rank ",
                message.peer);
    if (sends) seen->call.bytes += static_cast<std::int64_t>(message.tensor.nbytes());
    seen->tensors.push_back(message.tensor);
    seen->peers.push_back(ranks_[static_cast<std::size_t>(message.peer)]);
  }
  seen->call.sequence = ++exchanges_;
  seen->call.peers = &seen->peers;
  return observe(std::move(seen), [&] { return do_exchange(messages); });
}

Work ProcessGroup::observe(std::shared_ptr<Observation> seen, const Start& start) {
  seen->observer = observer_;
  seen->group = name_;
  seen->call.group = seen->group;
  seen->call.ranks = &ranks_;
  if (observer_ != nullptr) seen->id = observer_->started(seen->call);
  try {
    const c10::NoGradGuard no_grad;
    seen->work = start();
    seen->follow();
  } catch (const std::exception& error) {
    seen->fail(error);
  }
  Work work;
  work.finish_ = [seen] {
    const c10::NoGradGuard no_grad;
    seen->finish();
  };
  return work;
}

Work ProcessGroup::start_all_reduce(const at::Tensor& tensor, bool maximum) {
  TITAN_CHECK(tensor.is_contiguous(), "all_reduce needs a contiguous tensor");
  const ReduceOp op = maximum ? ReduceOp::kMax : ReduceOp::kSum;
  return collective("all_reduce", static_cast<std::int64_t>(tensor.nbytes()),
                    [&] { return do_all_reduce(tensor, op); }, {tensor});
}

Work ProcessGroup::start_all_reduce_coalesced(at::TensorList tensors) {
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& tensor : tensors) flat.push_back(tensor.reshape(-1));
  const at::Tensor buffer = at::cat(flat);
  return collective(
      "all_reduce", static_cast<std::int64_t>(buffer.nbytes()),
      [&] { return do_all_reduce(buffer, ReduceOp::kSum); }, {buffer},
      [tensors = tensors.vec(), buffer] {
        std::int64_t offset = 0;
        for (const at::Tensor& tensor : tensors) {
          tensor.copy_(buffer.narrow(0, offset, tensor.numel()).view(tensor.sizes()));
          offset += tensor.numel();
        }
      });
}

Work ProcessGroup::start_all_gather(const at::Tensor& output, const at::Tensor& input) {
  TITAN_CHECK(output.numel() == input.numel() * size(), "all_gather of ", input.numel(),
              " elements from ", size(), " ranks into ", output.numel());
  TITAN_CHECK(output.is_contiguous() && input.is_contiguous(),
              "all_gather needs contiguous tensors");
  return collective("all_gather", static_cast<std::int64_t>(input.nbytes()),
                    [&] { return do_all_gather(output, input); }, {output, input});
}

Work ProcessGroup::start_all_gather_parts(at::TensorList outputs, const at::Tensor& input) {
  TITAN_CHECK(static_cast<std::int64_t>(outputs.size()) == size(),
              "all_gather needs one output per rank");
  for (const at::Tensor& output : outputs) {
    TITAN_CHECK(output.numel() == input.numel() && output.is_contiguous(), "all_gather of ",
                input.numel(), " elements into ", output.numel());
  }
  TITAN_CHECK(input.is_contiguous(), "all_gather needs contiguous tensors");
  std::vector<at::Tensor> tensors = outputs.vec();
  tensors.push_back(input);
  return collective(
      "all_gather", static_cast<std::int64_t>(input.nbytes()),
      [&] { return do_all_gather_parts(outputs.vec(), input); }, std::move(tensors));
}

Work ProcessGroup::start_reduce_scatter(const at::Tensor& output, const at::Tensor& input) {
  TITAN_CHECK(input.numel() == output.numel() * size(), "reduce_scatter of ", input.numel(),
              " elements to ", size(), " ranks of ", output.numel());
  TITAN_CHECK(output.is_contiguous() && input.is_contiguous(),
              "reduce_scatter needs contiguous tensors");
  return collective("reduce_scatter", static_cast<std::int64_t>(input.nbytes()),
                    [&] { return do_reduce_scatter(output, input); }, {output, input});
}

Work ProcessGroup::start_all_to_all(const at::Tensor& output, const at::Tensor& input,
                                    at::IntArrayRef output_splits, at::IntArrayRef input_splits) {
  const auto ranks = static_cast<std::size_t>(size());
  TITAN_CHECK(output_splits.size() == ranks && input_splits.size() == ranks,
              "all_to_all needs one split per rank");
  TITAN_CHECK(sum_of(output_splits) == output.size(0) && sum_of(input_splits) == input.size(0),
              "all_to_all splits do not add up to the rows");
  TITAN_CHECK(output.is_contiguous() && input.is_contiguous(),
              "all_to_all needs contiguous tensors");
  return collective(
      "all_to_all", static_cast<std::int64_t>(input.nbytes()),
      [&] { return do_all_to_all(output, input, output_splits.vec(), input_splits.vec()); },
      {output, input});
}

Work ProcessGroup::start_broadcast(const at::Tensor& tensor, std::int64_t root) {
  TITAN_CHECK(tensor.is_contiguous(), "broadcast needs a contiguous tensor");
  return collective("broadcast", static_cast<std::int64_t>(tensor.nbytes()),
                    [&] { return do_broadcast(tensor, root); }, {tensor});
}

void ProcessGroup::barrier() {
  collective("barrier", 0, [&] { return do_barrier(); }, {}).wait();
}

}  // namespace titan::comm
