#pragma once

#include <ATen/CPUGeneratorImpl.h>

#include <memory>

#include "forecast/memory_tracker.h"
#include "support/local_ranks.h"
#include "support/temporary_folder.h"
#include "titan/tools/signals.h"
#include "titan/tools/startup_times.h"
#include "titan/trainer/trainer.h"

namespace titan::forecast::test {

class NoMonitor : public protocols::MemoryMonitor {
 public:
  protocols::MemoryPeak peak() override { return {}; }
  void reset_peak() override {}
};

/// Peak of the tensors' bytes on one rank while it trains, once the first step is behind it.
inline std::int64_t measured_peak(config::JobConfig config, comm::RankContext context,
                                  const tools::StopSignals& stop_signals) {
  const titan::test::TemporaryFolder folder;
  config.job.dump_folder = folder.path();
  context.generator = at::make_generator<at::CPUGeneratorImpl>(1);
  const auto tracker = std::make_shared<MemoryTracker>();
  const TrackingScope tracking(tracker, Memory::kReal);
  NoMonitor monitor;
  tools::StartupTimes startup_times;
  config.training.steps = 1;
  trainer::Trainer trainer(config, {context, {}, monitor, startup_times});
  trainer.train(stop_signals);
  tracker->reset_peak();
  config.training.steps = 2;
  trainer.train(stop_signals);
  return tracker->peak().total();
}

/// The same, of rank 0 of so many that are threads.
inline std::int64_t measured_on_ranks(const config::JobConfig& config, std::int64_t ranks) {
  std::int64_t measured = 0;
  const tools::StopSignals stop_signals;
  if (ranks == 1) return measured_peak(config, {}, stop_signals);
  titan::test::on_local_ranks(
      config.parallelism.degrees(), ranks, [&](const comm::RankContext& context) {
        const std::int64_t peak = measured_peak(config, context, stop_signals);
        if (context.rank == 0) measured = peak;
      });
  return measured;
}

}  // namespace titan::forecast::test
