#include "titan/plot/plot_runs.h"

#include <algorithm>
#include <filesystem>

#include "titan/base/errors.h"
#include "titan/plot/comparison.h"
#include "titan/plot/figure.h"

namespace titan::plot {
namespace {

/// Where two runs have the same name, their paths tell them apart.
void make_names_different(std::vector<RunMetrics>& metrics, std::span<const std::string> paths) {
  std::vector<bool> shared(metrics.size(), false);
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    for (std::size_t j = 0; j < metrics.size(); ++j) {
      if (i != j && metrics[i].name == metrics[j].name) shared[i] = true;
    }
  }
  for (std::size_t i = 0; i < metrics.size(); ++i) {
    if (shared[i]) metrics[i].name = paths[i];
  }
}

bool is_comparison(const std::string& path) { return path.ends_with(".json"); }

PlotResult plot_comparison(base::FileSystem& files, const std::string& path,
                           const std::optional<std::string>& output) {
  const std::vector<ComparedFigure> figures = read_comparison(files, path);
  PlotResult result;
  result.path = output.value_or(std::filesystem::path(path).replace_extension(".svg").string());
  base::write_file_atomically(files, result.path, draw_comparison(figures));
  return result;
}

}  // namespace

PlotResult plot_runs(base::FileSystem& files, std::span<const std::string> runs,
                     const std::optional<std::string>& output) {
  TITAN_CHECK(!runs.empty(), "no run to plot");
  if (runs.size() == 1 && is_comparison(runs[0])) return plot_comparison(files, runs[0], output);
  if (const auto found = std::ranges::find_if(runs, is_comparison); found != runs.end()) {
    throw RunError(concat("'", *found, "' is a comparison, which is drawn alone"));
  }
  PlotResult result;
  std::vector<RunMetrics> metrics;
  for (const std::string& path : runs) {
    metrics.push_back(read_run_metrics(files, path));
    if (const std::int64_t damaged = metrics.back().damaged_lines; damaged > 0) {
      result.warnings.push_back(concat("'", metrics_file(files, path), "': ", damaged, " damaged ",
                                       damaged == 1 ? "line" : "lines", " left out"));
    }
  }
  make_names_different(metrics, runs);
  const std::filesystem::path first = metrics_file(files, runs[0]);
  result.path = output.value_or((first.parent_path() / "plot.svg").string());
  base::write_file_atomically(files, result.path, draw_figure(metrics));
  return result;
}

}  // namespace titan::plot
