#include "titan/tools/startup_times.h"

#include <algorithm>

#include "titan/tools/number_text.h"

namespace titan::tools {

StartupTimes::StartupTimes(double age, std::function<double()> now)
    : now_(std::move(now)), phase_start_(now_() - age) {}

void StartupTimes::finish(std::string_view phase) {
  const double now = now_();
  auto entry = std::find_if(phases_.begin(), phases_.end(),
                            [&](const auto& other) { return other.first == phase; });
  if (entry == phases_.end()) entry = phases_.emplace(entry, phase, 0.0);
  entry->second += now - phase_start_;
  phase_start_ = now;
}

std::string StartupTimes::line() const {
  std::string text = "Start-up: ";
  double total = 0;
  for (const auto& [name, seconds] : phases_) {
    text += name + " " + fixed(seconds, 2) + "s, ";
    total += seconds;
  }
  return text + "total " + fixed(total, 2) + "s";
}

}  // namespace titan::tools
