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
    text += "\n" + formatted("%*s  %s\n", step_width(), "step", "lr");
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
    const auto add = [&](const std::string& name, std::int64_t behind, std::int64_t last) {
      if (behind < last) phases.push_back({name, behind + 1, last});
    };
    add("warm-up", 0, warm);
    add("stable", warm, stable);
    add(decay, stable, decayed);
    add("held", decayed, steps_);
    return phases;
  }

  /// The last step after the warm-up that has the whole rate: from there on it falls.
  std::int64_t last_full_step(std::int64_t warm) const {
    std::int64_t full = warm;
    std::int64_t last = steps_;  // no later step has it
    while (full < last) {
      const std::int64_t middle = last - (last - full) / 2;
      if (schedule_.factor(middle - 1) >= 1) {
        full = middle;
      } else {
        last = middle - 1;
      }
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
    constexpr std::int64_t kParts = kSampledRows - 1;
    const std::int64_t whole = (steps_ - 1) / kParts;
    const std::int64_t rest = (steps_ - 1) % kParts;
    for (std::int64_t i = 1; i <= kParts; ++i) rows.insert(1 + whole * i + rest * i / kParts);
    return rows;
  }

  int step_width() const {
    return std::max(10, static_cast<int>(std::to_string(steps_).size()) + 1);
  }

  std::string row(std::int64_t step) const {
    const double share = std::clamp(schedule_.factor(step - 1), 0.0, 1.0);
    const auto columns = static_cast<std::size_t>(std::round(share * kBarColumns));
    std::string line =
        formatted("%*lld  %-13.6g", step_width(), static_cast<long long>(step), lr(step));
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
