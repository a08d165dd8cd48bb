// The collectives of a ProcessGroup as its callers see them: each goes through its operator.
#include <torch/library.h>

#include <utility>

#include "comm/operators.h"
#include "titan/base/errors.h"

namespace titan::comm {

using Tensor = at::Tensor;

namespace {

/// The operator whose kernel is `start`, and which returns what that has started.
template <auto start>
class StartOperator;

template <class... Parameters, Work (ProcessGroup::*start)(Parameters...)>
class StartOperator<start> {
 public:
  static void define(torch::Library& library, const char* name, const std::string& arguments) {
    library.def(with_group(concat(name, "(", arguments), "()").c_str(),
                torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, run));
    // Autograd knows nothing of what is written while the caller goes on.
    library.impl(
        name, torch::dispatch(c10::DispatchKey::Autograd, torch::CppFunction::makeFallthrough()));
  }

  explicit StartOperator(const char* name)
      : operator_(find_operator<void(Parameters..., const Group&)>(name)) {}

  Work operator()(ProcessGroup& group, Parameters... arguments) const {
    const Group handle = handle_of(group);
    operator_.call(arguments..., handle);
    return std::move(handle->started);
  }

 private:
  static void run(Parameters... arguments, const Group& group) {
    group->started = (group->group.*start)(arguments...);
  }

  c10::TypedOperatorHandle<void(Parameters..., const Group&)> operator_;
};

}  // namespace

void StartOperators::define(torch::Library& library) {
  StartOperator<&ProcessGroup::start_all_reduce>::define(library, "start_all_reduce",
                                                         "Tensor(a!) tensor, bool maximum");
  StartOperator<&ProcessGroup::start_all_reduce_coalesced>::define(
      library, "start_all_reduce_coalesced", "Tensor(a!)[] tensors");
  StartOperator<&ProcessGroup::start_all_gather>::define(library, "start_all_gather",
                                                         "Tensor(a!) output, Tensor input");
  StartOperator<&ProcessGroup::start_all_gather_parts>::define(
      library, "start_all_gather_parts", "Tensor(a!)[] outputs, Tensor input");
  StartOperator<&ProcessGroup::start_reduce_scatter>::define(library, "start_reduce_scatter",
                                                             "Tensor(a!) output, Tensor input");
  StartOperator<&ProcessGroup::start_all_to_all>::define(
      library, "start_all_to_all",
      "Tensor(a!) output, Tensor input, int[] output_splits, int[] input_splits");
  StartOperator<&ProcessGroup::start_broadcast>::define(library, "start_broadcast",
                                                        "Tensor(a!) tensor, int root");
  StartOperator<&ProcessGroup::start_exchange>::define(
      library, "start_exchange",
      "Tensor[] sent, int[] destinations, Tensor(a!)[] received, int[] sources");
}

Work ProcessGroup::all_reduce(const Tensor& tensor, ReduceOp op) {
  static const StartOperator<&ProcessGroup::start_all_reduce> start("titan::start_all_reduce");
  return start(*this, tensor, op == ReduceOp::kMax);
}

Work ProcessGroup::all_reduce_coalesced(const std::vector<Tensor>& tensors) {
  static const StartOperator<&ProcessGroup::start_all_reduce_coalesced> start(
      "titan::start_all_reduce_coalesced");
  TITAN_CHECK(!tensors.empty(), "nothing to reduce");
  return start(*this, tensors);
}

Work ProcessGroup::all_gather(const Tensor& output, const Tensor& input) {
  static const StartOperator<&ProcessGroup::start_all_gather> start("titan::start_all_gather");
  return start(*this, output, input);
}

Work ProcessGroup::all_gather_parts(const std::vector<Tensor>& outputs, const Tensor& input) {
  static const StartOperator<&ProcessGroup::start_all_gather_parts> start(
      "titan::start_all_gather_parts");
  return start(*this, outputs, input);
}

Work ProcessGroup::reduce_scatter(const Tensor& output, const Tensor& input) {
  static const StartOperator<&ProcessGroup::start_reduce_scatter> start(
      "titan::start_reduce_scatter");
  return start(*this, output, input);
}

Work ProcessGroup::all_to_all(const Tensor& output, const Tensor& input,
                              const std::vector<std::int64_t>& output_splits,
                              const std::vector<std::int64_t>& input_splits) {
  static const StartOperator<&ProcessGroup::start_all_to_all> start("titan::start_all_to_all");
  return start(*this, output, input, output_splits, input_splits);
}

Work ProcessGroup::broadcast(const Tensor& tensor, std::int64_t root) {
  static const StartOperator<&ProcessGroup::start_broadcast> start("titan::start_broadcast");
  return start(*this, tensor, root);
}

Work ProcessGroup::exchange(const std::vector<Message>& messages) {
  static const StartOperator<&ProcessGroup::start_exchange> start("titan::start_exchange");
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
  return start(*this, sent, destinations, received, sources);
}

Work ProcessGroup::send(const Tensor& tensor, std::int64_t to) {
  return exchange({{tensor, to, Message::Direction::kSend}});
}

Work ProcessGroup::receive(const Tensor& tensor, std::int64_t from) {
  return exchange({{tensor, from, Message::Direction::kReceive}});
}

}  // namespace titan::comm
