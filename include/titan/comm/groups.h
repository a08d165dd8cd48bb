#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <vector>

#include "titan/comm/process_group.h"
#include "titan/mesh/parallel_dims.h"

namespace titan::comm {

/// The process groups of one rank. Ranks that are the same list in several meshes share a group.
class Groups {
 public:
  /// Of a job of one rank, whose tensors are on `device`.
  explicit Groups(at::Device device);
  /// Makes the group of the world and of every mesh dimension of several ranks, in the same order on
  /// every rank. `backend` and `observer` outlive the object; `observer` may be null. Throws
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

 private:
  ProcessGroup& group_of(const std::string& name, const std::vector<std::int64_t>& ranks,
                         Backend& backend, std::chrono::milliseconds timeout,
                         CollectiveObserver* observer);

  std::unique_ptr<ProcessGroup> alone_;
  std::map<std::vector<std::int64_t>, std::unique_ptr<ProcessGroup>> groups_;
  std::map<mesh::MeshDim, ProcessGroup*> by_dim_;
  ProcessGroup* world_ = nullptr;
};

}  // namespace titan::comm
