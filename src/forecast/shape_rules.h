#pragma once

#include <ATen/core/Tensor.h>
#include <ATen/core/stack.h>

#include <string>
#include <vector>

namespace titan::forecast {

/// A result that is not computed.
struct FakeResult {
  std::vector<std::int64_t> sizes;
  at::ScalarType dtype = at::kFloat;
  /// Dimensions 1 and 2 lie in memory the other way round.
  bool transposed = false;
};

/// Results of one operator, from its arguments.
using ShapeRule = std::vector<FakeResult> (*)(const torch::jit::Stack& arguments);

/// The rule for an operator without a meta kernel in C++ ("aten::embedding"), or null.
ShapeRule find_shape_rule(const std::string& operator_name);

}  // namespace titan::forecast
