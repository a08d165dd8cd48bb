#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "titan/base/clock.h"
#include "titan/tools/process.h"

namespace titan::tools {

/// Where the time between the start of the process and the first step goes.
class StartupTimes {
 public:
  /// `age`: seconds the process has lived already; they belong to the phase finished first.
  explicit StartupTimes(double age = process_age_seconds(),
                        std::function<double()> now = base::monotonic_seconds);
  /// Counts the time since the previous call for `phase`; the times of equal names add up.
  void finish(std::string_view phase);
  /// "Start-up: config 0.01s, model 0.12s, first step 0.70s, total 0.83s".
  std::string line() const;

 private:
  std::function<double()> now_;
  double phase_start_;
  std::vector<std::pair<std::string, double>> phases_;
};

}  // namespace titan::tools
