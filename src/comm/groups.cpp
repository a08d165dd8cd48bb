#include "titan/comm/groups.h"

#include <array>
#include <numeric>

#include "comm/lone_group.h"

namespace titan::comm {

namespace {

using mesh::MeshDim;

/// A group that several dimensions share has the name that says most about what it is used for.
constexpr std::array kByExpressiveness = {
    MeshDim::kFsdp, MeshDim::kDpReplicate, MeshDim::kTp,  MeshDim::kCp,    MeshDim::kPp,
    MeshDim::kEp,   MeshDim::kEfsdp,       MeshDim::kEtp, MeshDim::kBatch, MeshDim::kLoss};
static_assert(kByExpressiveness.size() == mesh::kMeshDimNames.size());

}  // namespace

Groups::Groups(at::Device device) : alone_(make_lone_group(0, device)), world_(alone_.get()) {}

Groups::Groups(Backend& backend, const mesh::ParallelDims& dims, std::int64_t rank,
               std::chrono::milliseconds timeout, CollectiveObserver* observer)
    : alone_(make_lone_group(rank, backend.device())), world_(alone_.get()) {
  if (dims.world_size() == 1) return;
  for (const mesh::MeshDim dim : kByExpressiveness) {
    if (!dims.exists(dim) || dims.size(dim) == 1) continue;
    by_dim_[dim] = &group_of(std::string(mesh::to_string(dim)), dims.ranks(dim, rank), backend,
                             timeout, observer);
  }
  std::vector<std::int64_t> all(static_cast<std::size_t>(dims.world_size()));
  std::iota(all.begin(), all.end(), 0);
  world_ = &group_of("world", all, backend, timeout, observer);
}

ProcessGroup& Groups::group_of(const std::string& name, const std::vector<std::int64_t>& ranks,
                               Backend& backend, std::chrono::milliseconds timeout,
                               CollectiveObserver* observer) {
  std::unique_ptr<ProcessGroup>& group = groups_[ranks];
  if (!group) group = backend.make_group(name, ranks, timeout, observer);
  return *group;
}

ProcessGroup& Groups::find(mesh::MeshDim dim) const {
  const auto found = by_dim_.find(dim);
  return found == by_dim_.end() ? *alone_ : *found->second;
}

ProcessGroup& Groups::world() const { return *world_; }

void Groups::set_timeout(std::chrono::milliseconds timeout) {
  for (const auto& [ranks, group] : groups_) group->set_timeout(timeout);
}

}  // namespace titan::comm
