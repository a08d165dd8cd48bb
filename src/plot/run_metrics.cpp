#include "titan/plot/run_metrics.h"

#include <algorithm>
#include <filesystem>
#include <string_view>

#include "plot/metrics_line.h"
#include "titan/base/errors.h"

namespace titan::plot {
namespace {

constexpr std::size_t kChunkBytes = 1 << 20;
constexpr std::size_t kLongestLine = 1 << 16;

/// The folder's name stands for the run.
std::string name_of(const std::string& path) {
  std::filesystem::path name = std::filesystem::path(path).lexically_normal();
  if (name.filename() == "metrics.jsonl") name = name.parent_path();
  if (!name.has_filename()) name = name.parent_path();
  const std::string last = name.filename().string();
  return last.empty() || last == "." || last == ".." ? path : last;
}

void forget_from(Curve& curve, double step) {
  while (!curve.empty() && curve.back().step >= step) curve.pop_back();
}

void add(Curve& curve, double step, const std::optional<double>& value) {
  if (!value) return;
  forget_from(curve, step);
  curve.push_back({step, *value});
}

class Collector {
 public:
  explicit Collector(RunMetrics& run) : run_(run) {}

  void add_line(std::string_view text) {
    if (text.find_first_not_of(" \t\r") == std::string_view::npos) return;
    const std::optional<MetricsLine> line = parse_metrics_line(text);
    if (!line) {
      ++run_.damaged_lines;
      return;
    }
    if (line->step < last_step_) {  // a resumed run: what the first one logged beyond is void
      for (Curve* curve :
           {&run_.loss, &run_.validation_loss, &run_.grad_norm, &run_.lr, &run_.tps}) {
        forget_from(*curve, line->step);
      }
    }
    last_step_ = line->step;
    add(run_.loss, line->step, line->loss);
    add(run_.validation_loss, line->step, line->validation_loss);
    add(run_.grad_norm, line->step, line->grad_norm);
    add(run_.lr, line->step, line->lr);
    // The line of a validation has a speed too, but a different one.
    if (!line->validation_loss) add(run_.tps, line->step, line->tps);
  }

  void add_damaged_line() { ++run_.damaged_lines; }

 private:
  RunMetrics& run_;
  double last_step_ = 0;
};

/// Cuts a file into lines. No line longer than kLongestLine is held.
class LineCutter {
 public:
  explicit LineCutter(Collector& collector) : collector_(collector) {}

  void add(std::string_view bytes) {
    for (std::size_t end; (end = bytes.find('\n')) != std::string_view::npos;
         bytes.remove_prefix(end + 1)) {
      extend(bytes.substr(0, end));
      finish_line();
    }
    extend(bytes);
  }

  void finish_line() {
    if (too_long_) {
      collector_.add_damaged_line();
    } else {
      collector_.add_line(line_);
    }
    line_.clear();
    too_long_ = false;
  }

 private:
  void extend(std::string_view bytes) {
    too_long_ = too_long_ || line_.size() + bytes.size() > kLongestLine;
    if (!too_long_) line_ += bytes;
  }

  Collector& collector_;
  std::string line_;
  bool too_long_ = false;
};

}  // namespace

std::string metrics_file(base::FileSystem& files, const std::string& path) {
  return files.is_directory(path) ? (std::filesystem::path(path) / "metrics.jsonl").string() : path;
}

RunMetrics read_run_metrics(base::FileSystem& files, const std::string& path) {
  RunMetrics run;
  run.name = name_of(path);
  const std::string file_path = metrics_file(files, path);
  if (files.is_special(file_path))
    throw RunError(concat("'", file_path, "' is no file of metrics"));
  const std::unique_ptr<base::ReadableFile> file = files.open_for_reading(file_path);
  Collector collector(run);
  LineCutter lines(collector);
  std::string chunk(kChunkBytes, '\0');
  std::uint64_t offset = 0;
  while (const std::size_t count = file->read_at(offset, chunk)) {
    lines.add(std::string_view(chunk).substr(0, count));
    offset += count;
  }
  lines.finish_line();
  if (run.loss.empty() && run.validation_loss.empty() && run.grad_norm.empty() && run.lr.empty() &&
      run.tps.empty()) {
    throw RunError(concat("'", file_path, "' has no logged step (damaged lines: ",
                          run.damaged_lines, "). Name the folder of a run, or its metrics.jsonl."));
  }
  return run;
}

}  // namespace titan::plot
