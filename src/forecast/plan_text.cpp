#include <algorithm>
#include <utility>

#include "forecast/job_text.h"
#include "titan/base/errors.h"
#include "titan/forecast/forecast.h"
#include "titan/tools/text_table.h"

namespace titan::forecast {
namespace {

using tools::aligned;
using tools::bytes_text;
using tools::Row;

/// "layers.*.attention x32".
std::string modules_text(const PlannedModules& line) {
  return line.count == 1 ? line.modules : concat(line.modules, " x", line.count);
}

/// "2048 x 256".
std::string sizes_text(const std::vector<std::int64_t>& sizes) {
  std::string text;
  for (const std::int64_t size : sizes) text += concat(text.empty() ? "" : " x ", size);
  return text;
}

std::string sent_text(std::int64_t bytes) { return bytes == 0 ? "" : bytes_text(bytes); }

std::string module_table(const TensorPlanFigures& plan) {
  const bool cut_again = std::ranges::any_of(plan.lines, [](const PlannedModules& line) {
    return std::ranges::any_of(line.parameters, [](const PlannedParameter& parameter) {
      return parameter.held != parameter.computed_with;
    });
  });
  Row title = {"modules", "style", "parameter", "whole", "rank 0's part"};
  if (cut_again) title.emplace_back("kept between steps");
  std::vector<Row> rows = {title};
  for (const PlannedModules& line : plan.lines) {
    Row row = {modules_text(line), line.style};
    for (const PlannedParameter& parameter : line.parameters) {
      row.insert(row.end(), {parameter.name, sizes_text(parameter.whole),
                             sizes_text(parameter.computed_with)});
      if (cut_again) row.push_back(sizes_text(parameter.held));
      rows.push_back(std::exchange(row, {"", ""}));
    }
    if (!line.parameters.empty()) continue;
    row.resize(title.size());
    rows.push_back(row);
  }
  return aligned(rows, 3);
}

/// One row for what is sent at a module's first boundary, more where there are several.
std::string traffic_table(const TensorPlanFigures& plan) {
  SentBytes all;
  std::int64_t elsewhere = 0;
  for (const PlannedModules& line : plan.lines) {
    all.forward += line.sent.forward;
    all.again += line.sent.again;
    all.backward += line.sent.backward;
  }
  for (const SentElsewhere& other : plan.elsewhere) elsewhere += other.sent;

  Row title = {"where", "sent forward", "sent backward", "bytes forward", "backward", "in all"};
  if (all.again > 0) title.insert(title.begin() + 4, "again");
  std::vector<Row> rows = {title};
  const auto add = [&](Row row, const SentBytes& sent, std::int64_t total) {
    row.push_back(sent_text(sent.forward));
    if (all.again > 0) row.push_back(sent_text(sent.again));
    row.insert(row.end(), {sent_text(sent.backward), sent_text(total)});
    rows.push_back(std::move(row));
  };
  for (const PlannedModules& line : plan.lines) {
    const std::size_t count = std::max(line.forward.size(), line.backward.size());
    for (std::size_t i = 0; i < count; ++i) {
      const std::string forward = i < line.forward.size() ? line.forward[i] : "";
      const std::string backward = i < line.backward.size() ? line.backward[i] : "";
      const SentBytes sent = i == 0 ? line.sent : SentBytes{};
      add({i == 0 ? modules_text(line) : "", forward, backward}, sent, sent.total());
    }
  }
  for (const SentElsewhere& other : plan.elsewhere) add({other.where, "", ""}, {}, other.sent);
  add({"all", "", ""}, all, all.total() + elsewhere);
  return aligned(rows, 3);
}

}  // namespace

std::string plan_table(const Forecast& forecast) {
  const TensorPlanFigures& plan = forecast.tensor_plan;
  if (plan.lines.empty()) {
    return job_text(forecast) +
           "\nThere is no tensor-parallel plan: parallelism.tensor_parallel_degree is 1.\n";
  }
  return concat(job_text(forecast), "\nWhat tensor parallelism does to the modules\n",
                module_table(plan), "\nWhat a rank sends over tp (", forecast.degrees.tp,
                " ranks) in a step\n", traffic_table(plan));
}

}  // namespace titan::forecast
