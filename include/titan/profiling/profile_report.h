#pragma once

#include <string>
#include <vector>

#include "titan/profiling/operator_profile.h"
#include "titan/profiling/step_floor.h"

namespace titan::profiling {

/// A step, the machine it ran on, and what it could be at best.
struct ProfileReport {
  std::string job;  // "llama3 debugmodel, 1 x 2048 tokens"
  StepRecord step;
  MachineRates machine;
  std::vector<Contest> contests;
};

/// Calls of a step that have something in common: an operator, or a module's place ("layers.*.attention.wq").
struct ProfileRow {
  std::string name;
  std::int64_t calls = 0;
  double seconds = 0;
  double forward = 0;  // seconds of these
  double again = 0;
  double backward = 0;
  double optimizer = 0;
  double rest = 0;
  autograd::OperatorCost cost;
};

/// One row per operator, one per place of modules that differ in a number only, and what the whole comes to; the longest
/// first. Every call is in one row of each.
std::vector<ProfileRow> by_operator(const StepRecord& step);
std::vector<ProfileRow> by_module(const StepRecord& step);
ProfileRow sum_of(const StepRecord& step);

/// Tables for people.
std::string profile_table(const ProfileReport& report);
/// One JSON object, indented: seconds, operations and bytes as numbers.
std::string profile_json(const ProfileReport& report);
/// The step's operators as Chrome's trace events, which Perfetto shows.
std::string profile_trace(const ProfileReport& report);

}  // namespace titan::profiling
