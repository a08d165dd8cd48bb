#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/profiling/operator_profile.h"

namespace titan::profiling {

/// Rates that this machine reaches with the threads that the process has.
struct MachineRates {
  std::int64_t threads = 1;
  double flops = 0;          // fp32 operations per second of a large product, by the best library
  double bytes = 0;          // per second, read and written, of a large copy
  std::string best_library;  // of the large product
};

MachineRates measure_machine();

/// Calls of one product, or of one attention, that are alike, beside what the libraries reach.
struct Contest {
  std::string what;         // "mm 2048 x 256 x 768", "attention 1 x 16 x 2048 x 16"
  std::int64_t calls = 0;   // in the step
  double seconds = 0;       // all of them, in the step
  double flops = 0;         // all of them
  double best_seconds = 0;  // all of them at the best rate
  std::string best;  // who has it: "the step itself", "MKL", "oneDNN", "LibTorch", "titan_kernels"
};

/// For every shape of product and attention of the step: the same made once by every library, on random numbers
/// of the same sizes and strides. Experts' products count as if rows were spread evenly, and all that one call makes as if they were
/// as large as its first. Takes about a second per shape.
std::vector<Contest> hold_contests(const StepRecord& step);

/// The least time that products and attention of a step could take here: the sum of the best.
double floor_seconds(const std::vector<Contest>& contests);

}  // namespace titan::profiling
