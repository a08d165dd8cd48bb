#pragma once

#include <c10/core/Device.h>
#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/comm/process_group.h"
#include "titan/comm/store.h"

namespace c10d {
class Backend;
class Store;
}  // namespace c10d

namespace titan::comm {

/// What NCCL and LibTorch's process groups on it read from the environment.
struct NcclSettings {
  /// Collectives that LibTorch's flight recorder keeps; 0: none, and nothing is written on a time-out.
  std::int64_t trace_buffer_size = 20'000;
  /// Each rank writes its flight recorder to this path followed by its number. Its folder is made.
  std::string trace_prefix;
  /// Sums in one order on every run: not by NVLink's switches, which add in the order of arrival.
  bool deterministic = false;
};

/// Ranks that are processes with one GPU each: `device` is this rank's. A wait makes the current
/// stream wait, not the CPU; a collective's end is what an observer that follows it sees. Sums are NCCL's.
/// Sets the environment variables for `settings`, with a warning where one was set to something else; an
/// NCCL_ALGO that is set stays. Throws RunError where `libtitan_cuda.so` is not loaded: find the
/// accelerator first. `store` outlives the back end and its groups.
std::unique_ptr<Backend> make_nccl_backend(Store& store, std::int64_t rank, c10::Device device,
                                           const NcclSettings& settings);

/// One group as `libtitan_cuda.so` makes it.
struct NcclGroupRequest {
  std::string name;
  std::vector<std::int64_t> ranks;  // of the world
  std::int64_t place = 0;           // this rank's in `ranks`
  std::chrono::milliseconds timeout{0};
};

/// What `libtitan_cuda.so` adds to this room, by its function `titan_nccl_groups`. Lives as long as
/// the process.
class NcclGroups {
 public:
  virtual ~NcclGroups() = default;
  /// Throws std::exception, also where there is no GPU.
  virtual c10::intrusive_ptr<c10d::Backend> make(const c10::intrusive_ptr<c10d::Store>& store,
                                                 const NcclGroupRequest& request) = 0;
};

}  // namespace titan::comm
