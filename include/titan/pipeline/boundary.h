#pragma once

#include <c10/core/ScalarType.h>

#include <cstdint>
#include <vector>

namespace titan::pipeline {

/// What goes from each stage to the next, of one microbatch; its gradient is alike.
struct Boundary {
  std::vector<std::int64_t> sizes;
  at::ScalarType dtype = at::kFloat;
};

}  // namespace titan::pipeline
