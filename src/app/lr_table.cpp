#include "app/lr_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <set>
#include <vector>

#include "titan/components/lr_scheduler/lr_schedule.h"

namespace titan::app {
namespace {

constexpr std::int64_t kMostRows = 40;  // as many steps are listed one by one
constexpr std::int64_t kSampledRows = 20;
constexpr double kBarColumns = 40;

template <class... Values>
std::string formatted(const char* format, Values... values) {
  std::array<char, 160> text = {};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

/// Steps `first` to `last`, counted from 1, of one rule.
struct Phase {
  std::string name;
  std::int64_t first = 0;
  std::int64_t last = 0;
};

class LrTable {
 public:
  explicit LrTable(const config::JobConfig& config)
      : config_(config),
        schedule_(config.lr_scheduler, config.training.steps),
        steps_(config.training.steps) {}

  std::string text() const {
    std::string text;
    for (const std::string& warning : schedule_.warnings()) text += "warning: " + warning + "\n";
    text += formatted("learning rate of %lld steps, optimizer.lr = %g\n",
                      static_cast<long long>(steps_), config_.optimizer.lr);
    const std::vector<Phase> phases = find_phases();
    for (const Phase& phase : phases) text += phase_line(phase);
    text += "\n" + formatted("%10s  %s\n", "step", "lr");
    for (const std::int64_t step : rows(phases)) text += row(step);
    return text;
  }

 private:
  double lr(std::int64_t step) const { return config_.optimizer.lr * schedule_.factor(step - 1); }

  std::vector<Phase> find_phases() const {
    const std::int64_t end = config_.lr_scheduler.total_steps.value_or(steps_);
    const std::int64_t warm = std::min(schedule_.warmup_steps(), steps_);
    const std::int64_t stable = std::max(warm, std::min(last_full_step(warm), steps_));
    const std::int64_t decayed = std::max(stable, std::min(end, steps_));
    const std::string decay =
        "decay (" + std::string(config::to_string(config_.lr_scheduler.decay_type)) + ")";
    std::vector<Phase> phases;
    for (const Phase& phase :
         {Phase{"warm-up", 1, warm}, Phase{"stable", warm + 1, stable},
          Phase{decay, stable + 1, decayed}, Phase{"held", decayed + 1, steps_}}) {
      if (phase.first <= phase.last) phases.push_back(phase);
    }
    return phases;
  }

  /// The last step after the warm-up that has the whole rate: from there on it falls.
  std::int64_t last_full_step(std::int64_t warm) const {
    std::int64_t full = warm;
    std::int64_t below = steps_ + 1;
    while (below - full > 1) {
      const std::int64_t middle = full + (below - full) / 2;
      (schedule_.factor(middle - 1) >= 1 ? full : below) = middle;
    }
    return full;
  }

  std::string phase_line(const Phase& phase) const {
    return formatted("  %-15s steps %lld to %lld, lr %g to %g\n", phase.name.c_str(),
                     static_cast<long long>(phase.first), static_cast<long long>(phase.last),
                     lr(phase.first), lr(phase.last));
  }

  std::set<std::int64_t> rows(const std::vector<Phase>& phases) const {
    std::set<std::int64_t> rows;
    if (steps_ <= kMostRows) {
      for (std::int64_t step = 1; step <= steps_; ++step) rows.insert(step);
      return rows;
    }
    for (const Phase& phase : phases) rows.insert({phase.first, phase.last});
    for (std::int64_t i = 1; i < kSampledRows; ++i) {
      const double share = static_cast<double>(i) / (kSampledRows - 1);
      rows.insert(1 + static_cast<std::int64_t>(share * static_cast<double>(steps_ - 1)));
    }
    return rows;
  }

  std::string row(std::int64_t step) const {
    const double share = std::clamp(schedule_.factor(step - 1), 0.0, 1.0);
    const auto columns = static_cast<std::size_t>(std::round(share * kBarColumns));
    std::string line = formatted("%10lld  %-13.6g", static_cast<long long>(step), lr(step));
    line += std::string(columns, '#');
    line.erase(line.find_last_not_of(' ') + 1);
    return line + "\n";
  }

  const config::JobConfig& config_;
  components::WarmupStableDecay schedule_;
  std::int64_t steps_;
};

}  // namespace

std::string lr_table(const config::JobConfig& config) { return LrTable(config).text(); }

}  // namespace titan::app
