#pragma once

#include <ATen/core/dispatch/Dispatcher.h>

#include <cstdint>

namespace titan::autograd {

/// What a call of an operator comes to, whatever kernel does it and however fast.
struct OperatorCost {
  /// Multiplications and additions of matrix products, also of those in attention, by their shapes: of causal
  /// attention what is seen, of masked attention all. Everything else counts none.
  double flops = 0;
  /// Of the tensors that it is given and gives back, each once; of a view none.
  std::int64_t bytes = 0;
};

/// Of a call with these arguments and results, in the order of the operator's schema.
OperatorCost cost_of(const c10::OperatorHandle& op, c10::ArrayRef<c10::IValue> arguments,
                     c10::ArrayRef<c10::IValue> results);

/// Whether what it gives back are views of what it is given: it touches no element.
bool is_view(const c10::OperatorHandle& op);

/// The tensors in a value: itself, or those of a list.
std::vector<at::Tensor> tensors_in(const c10::IValue& value);

}  // namespace titan::autograd
