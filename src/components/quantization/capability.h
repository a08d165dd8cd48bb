#pragma once

#include "titan/comm/rank_context.h"

namespace titan::components {

/// What products need of a GPU.
struct RequiredCapability {
  const char* converter;
  int capability;       // ten times
  const char* instead;  // the option that emulates them
};

/// Throws ConfigError where this rank's device has no such products, with the capability needed. A forecast may pretend any.
void check_capability(const comm::RankContext& context, const RequiredCapability& required);

}  // namespace titan::components
