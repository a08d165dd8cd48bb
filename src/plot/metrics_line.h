#pragma once

#include <optional>
#include <string_view>

namespace titan::plot {

/// The figures of one line of metrics.jsonl that are drawn; those that are no drawable number are
/// missing.
struct MetricsLine {
  double step = 0;
  std::optional<double> loss;
  std::optional<double> validation_loss;
  std::optional<double> grad_norm;
  std::optional<double> lr;
  std::optional<double> tps;
};

/// Nothing when the text is no JSON object with a step from 0 to 2^53. In time linear in the text.
std::optional<MetricsLine> parse_metrics_line(std::string_view text);

}  // namespace titan::plot
