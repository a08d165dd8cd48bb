#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>

#include "titan/comm/store.h"

namespace titan::comm {

/// Makes sure that all ranks were started with the same values, by name ("training.steps", "the data at /data"). All
/// ranks of a job call it once. Throws, on every rank alike, a ConfigError that says which values
/// differ on which ranks; a RunError naming the rank that does not come within `timeout`.
void check_same_config(Store& store, std::int64_t rank, std::int64_t world_size,
                       const std::map<std::string, std::string>& values,
                       std::chrono::milliseconds timeout);

}  // namespace titan::comm
