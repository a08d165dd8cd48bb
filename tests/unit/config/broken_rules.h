#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/config/validate.h"

namespace titan::config {

/// What the rules say of a config after `change`, without the places they blame.
template <class Change>
std::vector<std::string> broken_rules(std::int64_t world_size, const Change& change) {
  JobConfig config;
  change(config);
  std::vector<std::string> texts;
  for (const Problem& problem : cross_field_problems(config, Origins(), world_size)) {
    texts.push_back(problem.what);
  }
  return texts;
}

}  // namespace titan::config
