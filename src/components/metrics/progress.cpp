#include "titan/components/metrics/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace titan::components {
namespace {

/// Enough for an even pace, few enough to follow a change of it.
constexpr std::size_t kRecentSteps = 64;

template <class... Values>
std::string formatted(const char* format, Values... values) {
  std::array<char, 64> text = {};
  std::snprintf(text.data(), text.size(), format, values...);
  return text.data();
}

/// Whether another program of this terminal's owner is in front: our line would scribble over it.
bool in_background(int terminal) {
  const pid_t front = ::tcgetpgrp(terminal);
  return front > 0 && front != ::getpgrp();
}

}  // namespace

Progress::Progress(std::int64_t total_steps, std::function<double()> now)
    : total_steps_(total_steps), now_(std::move(now)) {}

void Progress::finish_step(std::int64_t step) {
  if (!recent_.empty() && step <= recent_.back().first) recent_.clear();  // the run went back
  recent_.emplace_back(step, now_());
  if (recent_.size() > kRecentSteps + 1) recent_.pop_front();
}

std::optional<double> Progress::seconds_per_step() const {
  if (recent_.size() < 2) return std::nullopt;
  const auto [first_step, first_time] = recent_.front();
  const auto [last_step, last_time] = recent_.back();
  return (last_time - first_time) / static_cast<double>(last_step - first_step);
}

std::optional<double> Progress::seconds_left() const {
  const std::optional<double> pace = seconds_per_step();
  if (!pace) return std::nullopt;
  const std::int64_t steps_left = std::max<std::int64_t>(total_steps_ - recent_.back().first, 0);
  return *pace * static_cast<double>(steps_left);
}

std::string Progress::text(std::size_t width) const {
  if (recent_.empty()) return {};
  const std::int64_t step = recent_.back().first;
  const std::int64_t total = std::max(total_steps_, step);
  const auto percent = static_cast<int>(100.0 * static_cast<double>(step) /
                                        static_cast<double>(std::max<std::int64_t>(total, 1)));
  std::string text = "step " + std::to_string(step) + "/" + std::to_string(total) + " " +
                     std::to_string(percent) + "%";
  const std::optional<double> left = seconds_left();
  const std::string eta = left ? "  ETA " + duration_text(*left) : "";
  const std::string pace = left ? formatted("  %.3g s/step", *seconds_per_step()) : "";
  if (text.size() + pace.size() + eta.size() <= width) text += pace;
  if (text.size() + eta.size() <= width) text += eta;
  return text.substr(0, width);
}

std::string duration_text(double seconds) {
  constexpr double kLongest = 1000.0 * 86400;
  const auto whole = static_cast<long>(std::round(std::clamp(seconds, 0.0, kLongest)));
  const long minutes = whole / 60;
  const long hours = minutes / 60;
  if (hours >= 24) return formatted("%ldd%02ldh", hours / 24, hours % 24);
  if (hours > 0) return formatted("%ldh%02ldm", hours, minutes % 60);
  if (minutes > 0) return formatted("%ldm%02lds", minutes, whole % 60);
  return formatted("%lds", whole);
}

std::size_t StatusLine::columns() const {
  winsize size = {};
  if (::ioctl(terminal_, TIOCGWINSZ, &size) != 0 || size.ws_col == 0) return kMostColumns;
  return std::min<std::size_t>(kMostColumns, size.ws_col - 1U);  // a full line would wrap
}

void StatusLine::show(const std::string& text) {
  if (in_background(terminal_)) return;
  const std::string bytes = "\r" + text.substr(0, columns()) + "\033[K\r";
  [[maybe_unused]] const ssize_t written = ::write(terminal_, bytes.data(), bytes.size());
  shown_ = true;
}

void StatusLine::clear() {
  if (!std::exchange(shown_, false) || in_background(terminal_)) return;
  constexpr std::string_view kErase = "\r\033[K";
  [[maybe_unused]] const ssize_t written = ::write(terminal_, kErase.data(), kErase.size());
}

std::unique_ptr<StatusLine> status_line_of_terminal() {
  const char* type = std::getenv("TERM");
  if (type == nullptr || *type == '\0' || std::string_view(type) == "dumb") return nullptr;
  for (const int terminal : {STDOUT_FILENO, STDERR_FILENO}) {
    if (::isatty(terminal) == 1) return std::make_unique<StatusLine>(terminal);
  }
  return nullptr;
}

}  // namespace titan::components
