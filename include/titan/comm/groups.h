#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "titan/comm/process_group.h"
#include "titan/mesh/parallel_dims.h"

namespace titan::comm {

/// The process groups of one rank. Dimensions whose traffic overlaps have a group each, even if their
/// ranks are the same; those that only sum numbers between the parts of a step share.
class Groups {
 public:
  /// Of a job of one rank, whose tensors are on `device`.
  explicit Groups(at::Device device);
  /// Makes the group of the world, then that of every mesh dimension of several ranks, in the same order
  /// on every rank. `backend` and `observer` outlive the object; `observer` may be null. Throws
  /// RunError.
  Groups(Backend& backend, const mesh::ParallelDims& dims, std::int64_t rank,
         std::chrono::milliseconds timeout, CollectiveObserver* observer);

  /// The group along a mesh dimension. Where the dimension has one rank, a group of one: it exchanges
  /// nothing and tells no observer.
  ProcessGroup& find(mesh::MeshDim dim) const;
  /// All ranks; also of a job with one.
  ProcessGroup& world() const;
  /// How long a collective may take from now on, in all groups.
  void set_timeout(std::chrono::milliseconds timeout);
  /// After the last collective, on all ranks alike.
  void shut_down();

 private:
  std::unique_ptr<ProcessGroup> alone_;
  std::vector<std::unique_ptr<ProcessGroup>> groups_;  // as they were made
  std::map<mesh::MeshDim, ProcessGroup*> by_dim_;
  ProcessGroup* world_ = nullptr;
};

}  // namespace titan::comm
