#pragma once

#include "titan/config/data.h"
#include "titan/config/distributed.h"
#include "titan/config/run.h"
#include "titan/config/training.h"
#include "titan/config/transforms.h"

namespace titan::config {

/// Every setting of a run, with TorchTitan's names and defaults. A value type: the one that
/// `parse_command_line` returns is valid; one built by hand is the builder's care.
struct JobConfig {
  Job job;
  Profiling profiling;
  Metrics metrics;
  Model model;
  Optimizer optimizer;
  LRScheduler lr_scheduler;
  Training training;
  Data data;
  Parallelism parallelism;
  Checkpoint checkpoint;
  ActivationCheckpoint activation_checkpoint;
  Compile compile;
  Quantize quantize;
  Comm comm;
  MemoryEstimation memory_estimation;
  FaultTolerance fault_tolerance;
  Experimental experimental;
  Validation validation;
  Debug debug;

  bool operator==(const JobConfig&) const = default;
};

}  // namespace titan::config
