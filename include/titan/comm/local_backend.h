#pragma once

#include <memory>

#include "titan/comm/process_group.h"
#include "titan/comm/store.h"

namespace titan::comm {

/// Ranks that are threads of this process. Inputs are copied when a collective starts, so that no
/// rank waits for another to read them; sums are taken in rank order. On a device, which all of them
/// share, streams wait for one another; the host waits for ranks only, so that each has to compute in
/// its own thread, backward included.
class LocalWorld {
 public:
  explicit LocalWorld(std::int64_t size);
  ~LocalWorld();

  /// The back end of one rank for tensors on `device`. The world outlives it and its groups.
  std::unique_ptr<Backend> backend(std::int64_t rank, at::Device device = at::kCPU);
  Store& store();

  /// Ends every wait of every rank, now and later, with a RunError that says `reason`; the first
  /// reason stays.
  void abort(const std::string& reason);

  class Impl;

 private:
  std::shared_ptr<Impl> impl_;
};

}  // namespace titan::comm
