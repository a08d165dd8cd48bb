#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "titan/base/file_system.h"
#include "titan/protocols/metrics.h"

namespace titan::components {

class RecordFile;

/// One logged step: what the trainer reported and what follows from the clock.
struct StepReport {
  protocols::StepMetrics step;
  double tps = 0;             // tokens per second and device
  double tflops = 0;          // model TFLOP/s per device
  std::optional<double> mfu;  // percent of the device's peak, where that is known
  double data_loading_s = 0;  // mean seconds waited for a microbatch
  double data_loading_pct = 0;
  double end_to_end_s = 0;  // mean seconds per step since the last log
  protocols::MemoryPeak memory;
};

/// One validation: what the validator reported and what follows from the clock.
struct ValidationReport {
  protocols::ValidationMetrics validation;
  double tps = 0;  // tokens per second and device
  protocols::MemoryPeak memory;
};

/// A place that logged steps go to. Sinks know nothing of each other.
class MetricsSink {
 public:
  virtual ~MetricsSink() = default;
  /// For messages about the sink, such as a path.
  virtual const std::string& name() const = 0;
  /// Throws RunError when the report cannot be recorded now. The run goes on and tries again with
  /// the next one.
  virtual void log(const StepReport& report) = 0;
  /// As `log`, for a validation.
  virtual void log_validation(const ValidationReport& report) = 0;
  /// Throws RunError naming what could not be recorded at all.
  virtual void close() = 0;
};

/// `<dump_folder>/metrics.jsonl`: one JSON object per logged step or validation, written at once.
/// Numbers are the shortest text that reads back as the same double; NaN, infinities and an unknown
/// MFU are `null`. Except for times and memory, the same run twice writes the same bytes.
///
/// While the disk is full, lines are kept (up to 1 MiB) and written as soon as there is room.
class JsonlSink : public MetricsSink {
 public:
  /// Creates the folder. `append` continues an existing file; else it is emptied. Throws RunError
  /// when the file cannot be written.
  JsonlSink(base::FileSystem& files, const std::string& dump_folder, bool append);
  ~JsonlSink() override;
  const std::string& name() const override { return path_; }
  void log(const StepReport& report) override;
  void log_validation(const ValidationReport& report) override;
  void close() override;

 private:
  void write(const std::string& line);

  std::string path_;
  std::unique_ptr<RecordFile> file_;
  std::string before_next_line_;
};

}  // namespace titan::components
