#pragma once

#include <c10/core/ScalarType.h>

#include <string_view>

#include "titan/config/training.h"
#include "titan/mesh/parallel_dims.h"

namespace titan::step {

/// What a job computes in.
struct Precision {
  /// Of what modules are given: of gathered parameters, or of those that there are.
  c10::ScalarType compute = c10::kFloat;
  /// Matrix products run in bfloat16 all the same.
  bool autocast = false;

  /// As "bfloat16 (autocast)", for the log.
  std::string_view text() const;
};

/// Sharded parameters are gathered in `mixed_precision_param`. Whole ones of one device or of replicas are
/// cast by autocast; with tensor or pipeline parallelism they stay in `dtype`, as in the reference.
Precision precision_of(const config::Training& training, const mesh::ParallelDims& dims);

}  // namespace titan::step
