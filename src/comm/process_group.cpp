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

std::int64_t sum_of(const std::vector<std::int64_t>& numbers) {
  return std::accumulate(numbers.begin(), numbers.end(), std::int64_t{0});
}

}  // namespace

void Work::wait() {
  if (const std::function<void()> finish = std::exchange(finish_, nullptr)) finish();
}

/// One collective from its start to the end of its wait.
struct ProcessGroup::Observation {
  CollectiveObserver* observer;
  CollectiveCall call;
  std::string group;  // what `call` names, should the group be gone before the wait
  std::uint64_t id = 0;
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
    if (observer != nullptr) observer->finished(id);
  }
};

ProcessGroup::ProcessGroup(std::string name, std::vector<std::int64_t> ranks, std::int64_t rank,
                           CollectiveObserver* observer)
    : name_(std::move(name)), ranks_(std::move(ranks)), rank_(rank), observer_(observer) {
  TITAN_CHECK(rank_ >= 0 && rank_ < size(), "rank ", rank_, " is not in a group of ", size());
}

Work ProcessGroup::observe(std::string_view operation, std::int64_t bytes,
                           const std::function<StartedWork()>& start,
                           std::vector<at::Tensor> tensors, std::function<void()> afterwards) {
  const auto seen = std::make_shared<Observation>();
  seen->observer = observer_;
  seen->group = name_;
  seen->call = {seen->group, operation, ++sequence_, bytes, &ranks_};
  seen->tensors = std::move(tensors);
  seen->afterwards = std::move(afterwards);
  if (observer_ != nullptr) seen->id = observer_->started(seen->call);
  try {
    const c10::NoGradGuard no_grad;
    seen->work = start();
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

Work ProcessGroup::all_reduce(const at::Tensor& tensor, ReduceOp op) {
  TITAN_CHECK(tensor.is_contiguous(), "all_reduce needs a contiguous tensor");
  return observe("all_reduce", static_cast<std::int64_t>(tensor.nbytes()),
                 [&] { return do_all_reduce(tensor, op); }, {tensor});
}

Work ProcessGroup::all_reduce_coalesced(const std::vector<at::Tensor>& tensors) {
  TITAN_CHECK(!tensors.empty(), "nothing to reduce");
  const c10::NoGradGuard no_grad;
  std::vector<at::Tensor> flat;
  for (const at::Tensor& tensor : tensors) flat.push_back(tensor.reshape(-1));
  const at::Tensor buffer = at::cat(flat);
  return observe(
      "all_reduce", static_cast<std::int64_t>(buffer.nbytes()),
      [&] { return do_all_reduce(buffer, ReduceOp::kSum); }, {buffer},
      [tensors, buffer] {
        std::int64_t offset = 0;
        for (const at::Tensor& tensor : tensors) {
          tensor.copy_(buffer.narrow(0, offset, tensor.numel()).view(tensor.sizes()));
          offset += tensor.numel();
        }
      });
}

Work ProcessGroup::all_gather(const at::Tensor& output, const at::Tensor& input) {
  TITAN_CHECK(output.numel() == input.numel() * size(), "all_gather of ", input.numel(),
              " elements from ", size(), " ranks into ", output.numel());
  TITAN_CHECK(output.is_contiguous() && input.is_contiguous(),
              "all_gather needs contiguous tensors");
  return observe("all_gather", static_cast<std::int64_t>(input.nbytes()),
                 [&] { return do_all_gather(output, input); }, {output, input});
}

Work ProcessGroup::reduce_scatter(const at::Tensor& output, const at::Tensor& input) {
  TITAN_CHECK(input.numel() == output.numel() * size(), "reduce_scatter of ", input.numel(),
              " elements to ", size(), " ranks of ", output.numel());
  TITAN_CHECK(output.is_contiguous() && input.is_contiguous(),
              "reduce_scatter needs contiguous tensors");
  return observe("reduce_scatter", static_cast<std::int64_t>(input.nbytes()),
                 [&] { return do_reduce_scatter(output, input); }, {output, input});
}

Work ProcessGroup::all_to_all(const at::Tensor& output, const at::Tensor& input,
                              const std::vector<std::int64_t>& output_splits,
                              const std::vector<std::int64_t>& input_splits) {
  const auto ranks = static_cast<std::size_t>(size());
  TITAN_CHECK(output_splits.size() == ranks && input_splits.size() == ranks,
              "all_to_all needs one split per rank");
  TITAN_CHECK(sum_of(output_splits) == output.size(0) && sum_of(input_splits) == input.size(0),
              "all_to_all splits do not add up to the rows");
  TITAN_CHECK(output.is_contiguous() && input.is_contiguous(),
              "all_to_all needs contiguous tensors");
  return observe("all_to_all", static_cast<std::int64_t>(input.nbytes()),
                 [&] { return do_all_to_all(output, input, output_splits, input_splits); },
                 {output, input});
}

Work ProcessGroup::broadcast(const at::Tensor& tensor, std::int64_t root) {
  TITAN_CHECK(tensor.is_contiguous(), "broadcast needs a contiguous tensor");
  return observe("broadcast", static_cast<std::int64_t>(tensor.nbytes()),
                 [&] { return do_broadcast(tensor, root); }, {tensor});
}

Work ProcessGroup::send(const at::Tensor& tensor, std::int64_t to) {
  TITAN_CHECK(tensor.is_contiguous() && to != rank_, "send needs a contiguous tensor and a peer");
  return observe("send", static_cast<std::int64_t>(tensor.nbytes()),
                 [&] { return do_send(tensor, to); }, {tensor});
}

Work ProcessGroup::receive(const at::Tensor& tensor, std::int64_t from) {
  TITAN_CHECK(tensor.is_contiguous() && from != rank_,
              "receive needs a contiguous tensor and a peer");
  return observe("receive", static_cast<std::int64_t>(tensor.nbytes()),
                 [&] { return do_receive(tensor, from); }, {tensor});
}

void ProcessGroup::barrier() {
  observe("barrier", 0, [&] { return do_barrier(); }, {}).wait();
}

}  // namespace titan::comm
