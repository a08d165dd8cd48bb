#pragma once

#include <string>

#include "titan/comm/rank_context.h"
#include "titan/tools/device_facts.h"

namespace titan::components {

/// What products need of a GPU.
struct RequiredCapability {
  const char* converter;
  int capability;       // ten times
  const char* instead;  // the option that emulates them
  const char* multiplies_in = "float32";
  int below = 0;  // ten times, where later ones lack them again; 0: they do not
};

/// Why a GPU has no such products, with the capability needed and what emulates them; empty where it has.
std::string capability_problem(const RequiredCapability& required, const tools::DeviceFacts& gpu);

/// Throws ConfigError where this rank's device has no such products, with the capability needed. A forecast may pretend any.
void check_capability(const comm::RankContext& context, const RequiredCapability& required);

}  // namespace titan::components
