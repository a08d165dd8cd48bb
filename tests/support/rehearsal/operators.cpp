#include "support/rehearsal/operators.h"

#include <ATen/EmptyTensor.h>
#include <torch/library.h>

#include <algorithm>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "forecast/shape_rules.h"
#include "support/rehearsal/kernel_scope.h"
#include "support/rehearsal/queued.h"
#include "titan/base/errors.h"

namespace titan::test::rehearsal {

namespace {

using torch::jit::Stack;

/// All arguments or results with `change` applied to each tensor.
template <class Change>
c10::IValue with_tensors(const c10::IValue& value, const Change& change) {
  if (value.isTensor()) return change(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(change(tensor));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
      list.push_back(tensor ? std::optional(change(*tensor)) : std::nullopt);
    }
    return list;
  }
  return value;
}

std::vector<at::Tensor> tensors_in(const Stack& values) {
  std::vector<at::Tensor> result;
  for (const c10::IValue& value : values) {
    with_tensors(value, [&](const at::Tensor& tensor) {
      result.push_back(tensor);
      return tensor;
    });
  }
  return result;
}

at::Tensor on_meta(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  at::Tensor meta =
      at::detail::empty_strided_meta(tensor.sizes(), tensor.strides(), tensor.scalar_type());
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) {
    meta.unsafeGetTensorImpl()->set_wrapped_number(true);
  }
  return meta;
}

at::Tensor like_on(at::Device where, const at::Tensor& tensor) {
  return tensor.defined() ? empty_on(where, tensor.sizes(), tensor.strides(), tensor.scalar_type())
                          : tensor;
}

std::mutex at_once_mutex;
std::set<std::string> at_once;

/// One call of an operator.
class Call {
 public:
  Call(const c10::OperatorHandle& op, Stack& stack) : op_(op), stack_(stack) {
    const std::size_t count = op.schema().arguments().size();
    arguments_.assign(stack.end() - static_cast<std::ptrdiff_t>(count), stack.end());
    stack.resize(stack.size() - count);
    where_ = find_device();
  }

  void run() {
    if (!is_random()) {
      if (writes_only() && give_sizes()) return enqueue_writing();
      if (returns_tensors()) {
        if (const auto results = meta_results()) return enqueue_returning(*results);
      }
    }
    run_at_once();
  }

 private:
  std::string name() const { return op_.operator_name().name; }

  at::Device find_device() const {
    std::optional<at::Device> found;
    for (const at::Tensor& tensor : tensors_in(arguments_)) {
      if (!is_ours(tensor)) continue;
      TORCH_CHECK(!found || *found == tensor.device(), "Expected all tensors to be on the same ",
                  "device, but found at least two: ", *found, " and ", tensor.device(), " in ",
                  name());
      found = tensor.device();
    }
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (!found && arguments_[i].isDevice()) found = arguments_[i].toDevice();
      if (!arguments_[i].isTensor()) continue;
      const at::Tensor& tensor = arguments_[i].toTensor();
      TORCH_CHECK(!tensor.defined() || is_ours(tensor) || tensor.dim() == 0,
                  "Expected all tensors to be on the same device, but argument ", i, " of ", name(),
                  " is on ", tensor.device());
    }
    TITAN_CHECK(found.has_value(), "no device among the arguments of ", name());
    return *found;
  }

  /// The host's generator has to go on at once, as a GPU's does.
  bool is_random() const {
    return op_.hasTag(at::Tag::nondeterministic_seeded) ||
           std::ranges::any_of(arguments_, &c10::IValue::isGenerator);
  }

  bool writes_only() const {
    if (!op_.schema().is_mutable()) return false;
    for (const c10::Argument& result : op_.schema().returns()) {
      if (result.alias_info() == nullptr || !result.alias_info()->isWrite()) return false;
    }
    return true;
  }

  /// A result without memory gets its size, as the kernel would give it. False where only the elements tell.
  bool give_sizes() const {
    std::vector<at::Tensor> results;
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (is_written(i) && op_.schema().arguments()[i].is_out() && arguments_[i].isTensor()) {
        results.push_back(arguments_[i].toTensor());
      }
    }
    const auto is_empty = [](const at::Tensor& tensor) { return tensor.numel() == 0; };
    if (std::ranges::none_of(results, is_empty)) return true;
    const auto meta = meta_results();
    if (!meta) return false;
    const std::vector<at::Tensor> sized = tensors_in(*meta);
    for (std::size_t i = 0; i < results.size(); ++i) results[i].resize_(sized.at(i).sizes());
    return true;
  }

  bool is_written(std::size_t i) const {
    const c10::AliasInfo* alias = op_.schema().arguments()[i].alias_info();
    return alias != nullptr && alias->isWrite();
  }

  bool returns_tensors() const {
    if (op_.schema().is_mutable() || op_.schema().returns().empty()) return false;
    for (const c10::Argument& result : op_.schema().returns()) {
      const bool tensors = result.type()->isSubtypeOf(*c10::TensorType::get()) ||
                           result.type()->isSubtypeOf(*c10::ListType::ofTensors());
      if (!tensors || result.alias_info() != nullptr) return false;
    }
    return true;
  }

  /// What comes out, without elements; nothing where only the elements tell.
  std::optional<Stack> meta_results() const {
    static const std::set<std::string> in_elements = {"aten::nonzero", "aten::masked_select"};
    if (in_elements.contains(name())) return std::nullopt;
    if (const forecast::ShapeRule rule = forecast::find_shape_rule(name())) {
      Stack results;
      for (const forecast::FakeResult& result : rule(arguments_)) {
        std::vector<std::int64_t> sizes = result.sizes;
        if (result.transposed) std::swap(sizes[1], sizes[2]);
        at::Tensor meta = at::detail::empty_meta(sizes, result.dtype);
        results.emplace_back(result.transposed ? meta.transpose(1, 2) : meta);
      }
      return results;
    }
    const KernelScope scope;
    Stack meta;
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      const bool is_device = op_.schema().arguments()[i].name() == "device";
      meta.push_back(is_device && !arguments_[i].isNone() ? c10::IValue(at::Device(at::kMeta))
                                                          : with_tensors(arguments_[i], on_meta));
    }
    try {
      op_.callBoxed(meta);
    } catch (const c10::NotImplementedError&) {
      return std::nullopt;
    }
    return meta;
  }

  /// Tensors of the device as the CPU sees them; numbers on the host as they are now.
  Stack on_cpu() const {
    Stack result;
    for (const c10::IValue& argument : arguments_) {
      if (argument.isDevice()) {
        result.emplace_back(at::Device(at::kCPU));
        continue;
      }
      result.push_back(with_tensors(argument, [](const at::Tensor& tensor) {
        if (!tensor.defined() || is_ours(tensor)) return elements_of(tensor);
        const at::Tensor copy = tensor.clone();
        if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) {
          copy.unsafeGetTensorImpl()->set_wrapped_number(true);
        }
        return copy;
      }));
    }
    return result;
  }

  void enqueue_writing() {
    enqueue(where_, [op = op_, arguments = on_cpu()] {
      Stack stack = arguments;
      op.callBoxed(stack);
    });
    return_written();
  }

  void return_written() {
    for (const c10::Argument& result : op_.schema().returns()) {
      for (std::size_t i = 0; i < arguments_.size(); ++i) {
        if (is_written(i) && *op_.schema().arguments()[i].alias_info() == *result.alias_info()) {
          stack_.push_back(arguments_[i]);
          break;
        }
      }
    }
  }

  void enqueue_returning(const Stack& meta) {
    Stack places;
    for (const c10::IValue& result : meta) {
      stack_.push_back(
          with_tensors(result, [&](const at::Tensor& tensor) { return like_on(where_, tensor); }));
      places.push_back(with_tensors(stack_.back(), elements_of));
    }
    enqueue(where_, [op = op_, arguments = on_cpu(), places] {
      Stack stack = arguments;
      op.callBoxed(stack);
      const std::vector<at::Tensor> to = tensors_in(places);
      const std::vector<at::Tensor> from = tensors_in(stack);
      TITAN_CHECK(to.size() == from.size(), "results of ", op.operator_name().name);
      for (std::size_t i = 0; i < to.size(); ++i) {
        if (to[i].defined() && from[i].defined()) to[i].copy_(from[i]);
      }
    });
  }

  void run_at_once() {
    {
      const std::lock_guard lock(at_once_mutex);
      at_once.insert(name());
    }
    // Copies, which may be resized.
    Stack results;
    Stack copies;
    enqueue(where_, [&] {
      for (const c10::IValue& argument : on_cpu()) {
        copies.push_back(with_tensors(
            argument, [](const at::Tensor& t) { return t.defined() ? t.clone() : t; }));
      }
      results = copies;
      op_.callBoxed(results);
    });
    synchronize(where_);
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      if (!is_written(i)) continue;
      const std::vector<at::Tensor> from = tensors_in({copies[i]});
      const std::vector<at::Tensor> to = tensors_in({arguments_[i]});
      for (std::size_t k = 0; k < to.size(); ++k) {
        if (to[k].sizes() != from[k].sizes()) to[k].resize_(from[k].sizes());
        to[k].copy_(from[k]);
      }
    }
    if (op_.schema().is_mutable()) return return_written();
    for (const c10::IValue& result : results) {
      stack_.push_back(with_tensors(result, [&](const at::Tensor& tensor) {
        at::Tensor ours = like_on(where_, tensor);
        if (ours.defined()) ours.copy_(tensor);
        return ours;
      }));
    }
  }

  const c10::OperatorHandle& op_;
  Stack& stack_;
  Stack arguments_;
  at::Device where_{at::DeviceType::PrivateUse1, 0};
};

void fallback(const c10::OperatorHandle& op, Stack* stack) {
  const KernelScope scope;
  Call(op, *stack).run();
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, m) {
  m.fallback(torch::CppFunction::makeFromBoxedFunction<&fallback>());
}
}  // namespace

std::set<std::string> take_operators_run_at_once() {
  const std::lock_guard lock(at_once_mutex);
  return std::exchange(at_once, {});
}

}  // namespace titan::test::rehearsal
