// The collectives of a ProcessGroup as its callers see them: each goes through its operator.
#include <utility>

#include "comm/operators.h"
#include "titan/base/errors.h"

namespace titan::comm {

using Tensor = at::Tensor;

void StartKernels::all_reduce(const Tensor& tensor, bool maximum, const Group& group) {
  group->started = group->group.start_all_reduce(tensor, maximum ? ReduceOp::kMax : ReduceOp::kSum);
}

void StartKernels::all_reduce_coalesced(at::TensorList tensors, const Group& group) {
  group->started = group->group.start_all_reduce_coalesced(tensors.vec());
}

void StartKernels::all_gather(const Tensor& output, const Tensor& input, const Group& group) {
  group->started = group->group.start_all_gather(output, input);
}

void StartKernels::reduce_scatter(const Tensor& output, const Tensor& input, const Group& group) {
  group->started = group->group.start_reduce_scatter(output, input);
}

void StartKernels::all_to_all(const Tensor& output, const Tensor& input,
                              at::IntArrayRef output_splits, at::IntArrayRef input_splits,
                              const Group& group) {
  group->started =
      group->group.start_all_to_all(output, input, output_splits.vec(), input_splits.vec());
}

void StartKernels::broadcast(const Tensor& tensor, std::int64_t root, const Group& group) {
  group->started = group->group.start_broadcast(tensor, root);
}

void StartKernels::exchange(at::TensorList sent, at::IntArrayRef destinations,
                            at::TensorList received, at::IntArrayRef sources, const Group& group) {
  std::vector<Message> messages;
  for (std::size_t i = 0; i < sent.size(); ++i) {
    messages.push_back({sent[i], destinations[i], Message::Direction::kSend});
  }
  for (std::size_t i = 0; i < received.size(); ++i) {
    messages.push_back({received[i], sources[i], Message::Direction::kReceive});
  }
  group->started = group->group.start_exchange(messages);
}

namespace {

/// An operator `titan::start_*`, called with its arguments and the group: what it has started.
template <class... Parameters>
class StartingOperator {
 public:
  explicit StartingOperator(const char* name)
      : operator_(find_operator<void(Parameters..., const Group&)>(name)) {}

  Work operator()(ProcessGroup& group, Parameters... arguments) const {
    const Group handle = handle_of(group);
    operator_.call(arguments..., handle);
    return std::move(handle->started);
  }

 private:
  c10::TypedOperatorHandle<void(Parameters..., const Group&)> operator_;
};

}  // namespace

Work ProcessGroup::all_reduce(const Tensor& tensor, ReduceOp op) {
  static const StartingOperator<const Tensor&, bool> all_reduce("titan::start_all_reduce");
  return all_reduce(*this, tensor, op == ReduceOp::kMax);
}

Work ProcessGroup::all_reduce_coalesced(const std::vector<Tensor>& tensors) {
  static const StartingOperator<at::TensorList> all_reduce("titan::start_all_reduce_coalesced");
  TITAN_CHECK(!tensors.empty(), "nothing to reduce");
  return all_reduce(*this, tensors);
}

Work ProcessGroup::all_gather(const Tensor& output, const Tensor& input) {
  static const StartingOperator<const Tensor&, const Tensor&> all_gather("titan::start_all_gather");
  return all_gather(*this, output, input);
}

Work ProcessGroup::reduce_scatter(const Tensor& output, const Tensor& input) {
  static const StartingOperator<const Tensor&, const Tensor&> reduce_scatter(
      "titan::start_reduce_scatter");
  return reduce_scatter(*this, output, input);
}

Work ProcessGroup::all_to_all(const Tensor& output, const Tensor& input,
                              const std::vector<std::int64_t>& output_splits,
                              const std::vector<std::int64_t>& input_splits) {
  static const StartingOperator<const Tensor&, const Tensor&, at::IntArrayRef, at::IntArrayRef>
      all_to_all("titan::start_all_to_all");
  return all_to_all(*this, output, input, output_splits, input_splits);
}

Work ProcessGroup::broadcast(const Tensor& tensor, std::int64_t root) {
  static const StartingOperator<const Tensor&, std::int64_t> broadcast("titan::start_broadcast");
  return broadcast(*this, tensor, root);
}

Work ProcessGroup::exchange(const std::vector<Message>& messages) {
  static const StartingOperator<at::TensorList, at::IntArrayRef, at::TensorList, at::IntArrayRef>
      exchange("titan::start_exchange");
  if (messages.empty()) return {};
  std::vector<Tensor> sent;
  std::vector<Tensor> received;
  std::vector<std::int64_t> destinations;
  std::vector<std::int64_t> sources;
  for (const Message& message : messages) {
    const bool sends = message.direction == Message::Direction::kSend;
    (sends ? sent : received).push_back(message.tensor);
    (sends ? destinations : sources).push_back(message.peer);
  }
  return exchange(*this, sent, destinations, received, sources);
}

Work ProcessGroup::send(const Tensor& tensor, std::int64_t to) {
  return exchange({{tensor, to, Message::Direction::kSend}});
}

Work ProcessGroup::receive(const Tensor& tensor, std::int64_t from) {
  return exchange({{tensor, from, Message::Direction::kReceive}});
}

}  // namespace titan::comm
