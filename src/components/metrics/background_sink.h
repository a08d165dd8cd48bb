#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <variant>

#include "titan/components/metrics/metrics_sink.h"

namespace titan::components {

/// Hands reports to another sink from a thread of its own, in their order, so that a slow disk holds up no step. What the other
/// throws, the next call throws, when it has taken its own report. Methods are for one thread.
class BackgroundSink : public MetricsSink {
 public:
  explicit BackgroundSink(std::unique_ptr<MetricsSink> sink);
  /// Waits until all is handed over.
  ~BackgroundSink() override;
  BackgroundSink(const BackgroundSink&) = delete;
  BackgroundSink& operator=(const BackgroundSink&) = delete;

  const std::string& name() const override { return sink_->name(); }
  /// Waits only where very many reports wait already.
  void log(const StepReport& report) override { offer(report); }
  void log_validation(const ValidationReport& report) override { offer(report); }
  /// Waits until all is handed over, then closes the other.
  void close() override;

 private:
  using Report = std::variant<StepReport, ValidationReport>;

  void offer(Report report);
  void finish();
  void rethrow();
  void run();
  void hand_over(const Report& report);

  std::unique_ptr<MetricsSink> sink_;  // the thread's, while it runs
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Report> waiting_;
  std::exception_ptr failure_;
  bool finishing_ = false;
  std::thread thread_;
};

}  // namespace titan::components
