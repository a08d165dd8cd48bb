#include "forecast/fake_tensors.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/List.h>

#include <set>
#include <string>
#include <utility>

#include "forecast/shape_rules.h"
#include "titan/base/errors.h"

namespace titan::forecast {
namespace {

using torch::jit::Stack;

/// Allocate, or change a tensor without looking at its elements: their own kernels do that.
bool never_touches_elements(const std::string& name) {
  static const std::set<std::string> names = {
      "aten::empty",        "aten::empty_strided", "aten::empty_like", "aten::new_empty",
      "aten::_unsafe_view", "aten::set_",          "aten::resize_",    "aten::new_empty_strided"};
  return names.contains(name);
}

at::Tensor on_meta(const at::Tensor& tensor) {
  if (!tensor.defined()) return tensor;
  at::Tensor meta =
      at::detail::empty_strided_meta(tensor.sizes(), tensor.strides(), tensor.scalar_type());
  // Numbers of the source text do not decide the type of a result.
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) {
    meta.unsafeGetTensorImpl()->set_wrapped_number(true);
  }
  return meta;
}

c10::IValue on_meta(const c10::IValue& value) {
  if (value.isTensor()) return on_meta(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(on_meta(tensor));
    return list;
  }
  if (value.isOptionalTensorList()) {
    c10::List<std::optional<at::Tensor>> list;
    for (const std::optional<at::Tensor>& tensor : value.toOptionalTensorVector()) {
      list.push_back(tensor ? std::optional(on_meta(*tensor)) : std::nullopt);
    }
    return list;
  }
  return value;
}

at::Tensor fake(const at::Tensor& meta) {
  if (!meta.defined()) return meta;
  return at::detail::empty_strided_cpu(meta.sizes(), meta.strides(), meta.scalar_type());
}

c10::IValue fake(const c10::IValue& value) {
  if (value.isTensor()) return fake(value.toTensor());
  if (value.isTensorList()) {
    c10::List<at::Tensor> list;
    for (const at::Tensor& tensor : value.toTensorVector()) list.push_back(fake(tensor));
    return list;
  }
  return value;
}

/// The arguments on top of the stack, taken off it.
Stack take_arguments(const c10::OperatorHandle& op, Stack& stack) {
  const auto count = static_cast<std::ptrdiff_t>(op.schema().arguments().size());
  Stack arguments(std::make_move_iterator(stack.end() - count),
                  std::make_move_iterator(stack.end()));
  stack.erase(stack.end() - count, stack.end());
  return arguments;
}

/// Results are the arguments that they are written to.
void return_written(const c10::OperatorHandle& op, Stack& stack) {
  const Stack arguments = take_arguments(op, stack);
  for (const c10::Argument& result : op.schema().returns()) {
    for (std::size_t i = 0; i < arguments.size(); ++i) {
      const c10::AliasInfo* alias = op.schema().arguments()[i].alias_info();
      if (alias != nullptr && *alias == *result.alias_info()) {
        stack.push_back(arguments[i]);
        break;
      }
    }
  }
}

at::Tensor make(FakeResult result) {
  if (!result.transposed) return at::detail::empty_cpu(result.sizes, result.dtype);
  std::swap(result.sizes[1], result.sizes[2]);
  return at::Tensor(at::detail::empty_cpu(result.sizes, result.dtype)).transpose(1, 2);
}

void return_by_rule(const c10::OperatorHandle& op, Stack& stack) {
  const Stack arguments = take_arguments(op, stack);
  for (const FakeResult& result : find_shape_rule(op.operator_name().name)(arguments)) {
    stack.emplace_back(make(result));
  }
}

void return_one(const c10::OperatorHandle& op, Stack& stack) {
  const Stack arguments = take_arguments(op, stack);
  const at::ScalarType type = arguments[0].toTensor().scalar_type();
  stack.emplace_back(at::isFloatingType(type) ? at::Scalar(1.0) : at::Scalar(1));
}

void compute_on_meta(const c10::OperatorHandle& op, Stack& stack) {
  Stack meta = take_arguments(op, stack);
  bool has_tensors = false;
  for (c10::IValue& value : meta) {
    has_tensors = has_tensors || value.isTensor() || value.isTensorList();
    value = on_meta(value);
  }
  for (std::size_t i = 0; i < meta.size(); ++i) {
    const bool is_device = op.schema().arguments()[i].name() == "device";
    if (is_device && (!has_tensors || !meta[i].isNone())) meta[i] = c10::Device(c10::kMeta);
  }
  try {
    op.callBoxed(meta);
  } catch (const c10::NotImplementedError&) {
    throw RunError(concat("the forecast does not know the results of the operator ",
                          op.operator_name().name, "; please report this"));
  }
  for (const c10::IValue& value : meta) stack.push_back(fake(value));
}

}  // namespace

FakeTensors::Kind FakeTensors::kind_of(const c10::OperatorHandle& op) {
  const auto [entry, is_new] = kinds_.try_emplace(&op.schema(), Kind::kMeta);
  if (!is_new) return entry->second;
  const std::string& name = op.operator_name().name;
  if (find_shape_rule(name) != nullptr) return entry->second = Kind::kShapeRule;
  // Communication, and a kernel that is made of others.
  if (name.starts_with("titan::") || name == "aten::_safe_softmax")
    return entry->second = Kind::kLookedInto;
  bool views = false;
  bool writes = true;
  for (const c10::Argument& result : op.schema().returns()) {
    const c10::AliasInfo* alias = result.alias_info();
    views = views || (alias != nullptr && !alias->isWrite());
    writes = writes && alias != nullptr && alias->isWrite();
  }
  // As unsqueeze_: what is written is the tensor's sizes.
  views = views || op.hasTag(at::Tag::inplace_view);
  if (views || never_touches_elements(name)) return entry->second = Kind::kNative;
  if (name == "aten::_local_scalar_dense") return entry->second = Kind::kNumber;
  if (writes) return entry->second = Kind::kInPlace;
  return Kind::kMeta;
}

void FakeTensors::call(const c10::OperatorHandle& op, Stack* stack,
                       const std::function<void()>& compute) {
  const Kind kind = kind_of(op);
  if (kind == Kind::kLookedInto) {
    const autograd::InnerOperatorsScope inside(*this);
    return compute();
  }
  const TrackingScope scope(tracker_, Memory::kPretended, Purpose::kResult);
  switch (kind) {
    case Kind::kLookedInto:
    case Kind::kNative:
      return compute();
    case Kind::kInPlace:
      return return_written(op, *stack);
    case Kind::kNumber:
      return return_one(op, *stack);
    case Kind::kShapeRule:
      return return_by_rule(op, *stack);
    case Kind::kMeta:
      return compute_on_meta(op, *stack);
  }
}

}  // namespace titan::forecast
