#pragma once

#include <functional>
#include <memory>
#include <span>
#include <string>

#include "components/metrics/record_file.h"
#include "components/metrics/scalars.h"
#include "titan/base/file_system.h"
#include "titan/components/metrics/metrics_sink.h"

namespace titan::components {

/// Seconds since 1970.
double wall_clock_seconds();

/// An event file for TensorBoard, `<folder>/events.out.tfevents.<seconds>.<host>.<process>.0`, as
/// PyTorch's SummaryWriter names it. Each report is one record of scalars, written at once; while
/// the disk is full, records are kept as in metrics.jsonl.
class TensorBoardSink : public MetricsSink {
 public:
  /// Creates the folder. Throws RunError when the file cannot be opened.
  TensorBoardSink(base::FileSystem& files, const std::string& folder,
                  std::function<double()> now = wall_clock_seconds);

  const std::string& name() const override { return file_->path(); }
  void log(const StepReport& report) override;
  void log_validation(const ValidationReport& report) override;
  void close() override;

 private:
  void write(std::int64_t step, std::span<const Scalar> scalars);

  std::function<double()> now_;
  std::unique_ptr<RecordFile> file_;
  std::string before_next_record_;
};

}  // namespace titan::components
