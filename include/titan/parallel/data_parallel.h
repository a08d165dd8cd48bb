#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/nn/module.h"
#include "titan/parallel/sharding.h"

namespace titan::config {
struct Parallelism;
struct Training;
}  // namespace titan::config

namespace titan::parallel {

/// One line of a model's table of FSDP units.
struct UnitPattern {
  /// Modules (module_pattern.h) whose parameters are gathered together. One pattern makes a unit of each module
  /// that fits; several patterns make one unit of all of theirs, which run one after the other.
  std::vector<std::string> modules;
  /// Backward begins with them, so that they stay gathered unless the policy says "always".
  bool is_last = false;
  /// Experts that expert parallelism has shared out: cut over the ranks that have the same ones. Without expert parallelism, and
  /// in a model without experts, there is no such unit.
  bool of_experts = false;
};
/// In the order in which the modules run, inner ones before those around them.
using UnitTable = std::vector<UnitPattern>;

/// Applies FSDP, HSDP or DDP, as the degrees say, to a model on the meta device. What the table names no
/// unit for is gathered with the root. Throws ConfigError; InternalError for a pattern that fits no module.
std::shared_ptr<Sharding> apply_data_parallel(nn::Module& model, const UnitTable& units,
                                              const comm::RankContext& context,
                                              const config::Parallelism& parallelism,
                                              const config::Training& training);

}  // namespace titan::parallel
