#pragma once

#include <cstdint>
#include <string>

#include "titan/comm/rank_context.h"
#include "titan/schedule/schedule.h"

namespace titan::pipeline {

/// Tells who listens (watch::Watch) what a rank of a pipeline is doing, for messages about ranks that hang.
class Phases {
 public:
  /// `stages`: those of this rank. `context` outlives the object.
  Phases(const schedule::Placement& placement, std::int64_t stages,
         const comm::RankContext& context);

  /// What follows belongs to this step, and to `purpose`; empty: training.
  void begin(std::int64_t step, const std::string& purpose);
  /// The same, with the step as it is.
  void begin(const std::string& purpose);

  /// As "forward of microbatch 3 in stage 1".
  std::string name_of(const schedule::Action& action) const;
  void enter(const schedule::Action& action) const;
  void enter(const std::string& phase) const;

 private:
  schedule::Placement placement_;
  std::int64_t stages_;
  const comm::RankContext& context_;
  std::int64_t step_ = 0;
  std::string purpose_;
};

}  // namespace titan::pipeline
