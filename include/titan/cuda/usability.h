#pragma once

#include <string>

namespace titan::cuda {

/// What CUDA says when it is asked for its GPUs and does not answer.
struct DriverState {
  int error = 0;           // a cudaError_t
  std::string error_text;  // in CUDA's words
  bool too_old = false;  // whether the error is that the driver is too old, or its library missing
  long driver_cuda =
      0;  // 12020: the newest CUDA that the driver knows; 0 where its library is missing
  long needed_cuda = 0;       // 13000: the one LibTorch is built for
  std::string kernel_driver;  // "535.104.05"; empty where it is not known
};

/// Why the GPUs cannot be used, and what to do about it.
std::string driver_problem(const DriverState& state);

/// The same of an NCCL that is older than the one LibTorch is built with (22809 is 2.28.9), loaded from `path`;
/// empty where it is not.
std::string nccl_problem(long needed, long loaded, const std::string& path);

}  // namespace titan::cuda
