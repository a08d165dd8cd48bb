#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "titan/base/clock.h"

namespace titan::components {

/// How far a run is and how long the rest takes, from the pace of its last steps.
class Progress {
 public:
  explicit Progress(std::int64_t total_steps,
                    std::function<double()> now = base::monotonic_seconds);

  /// The clock is read here.
  void finish_step(std::int64_t step);
  /// Unknown before the second step: the first one takes longer than all others.
  std::optional<double> seconds_left() const;
  /// "step 120/1000 12%  0.21 s/step  ETA 3m12s", less what has no room in `width` columns.
  std::string text(std::size_t width) const;

 private:
  std::optional<double> seconds_per_step() const;

  std::int64_t total_steps_;
  std::function<double()> now_;
  std::deque<std::pair<std::int64_t, double>> recent_;  // steps and when they were finished
};

/// "45s", "3m12s", "2h05m", "4d03h": the two largest units.
std::string duration_text(double seconds);

/// A line at the bottom of a terminal that is written over again and again.
///
/// It is shorter than what every line of the log begins with, and the cursor waits at its
/// beginning: whoever logs, from whatever thread, overwrites it whole.
class StatusLine {
 public:
  /// Columns of "[titan] 2025-12-26 10:11:12,345 - root - INFO - ".
  static constexpr std::size_t kMostColumns = 48;

  /// `terminal` is a file descriptor that stays open.
  explicit StatusLine(int terminal) : terminal_(terminal) {}
  ~StatusLine() { clear(); }
  StatusLine(const StatusLine&) = delete;
  StatusLine& operator=(const StatusLine&) = delete;

  /// How much text fits now.
  std::size_t columns() const;
  /// Does nothing while the program runs in the background of a shell.
  void show(const std::string& text);
  void clear();

 private:
  int terminal_;
  bool shown_ = false;
};

/// Where a person can see it: standard output, else standard error, if that is a terminal that can
/// move its cursor. Null for files and pipes.
std::unique_ptr<StatusLine> status_line_of_terminal();

}  // namespace titan::components
