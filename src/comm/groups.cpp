#include "titan/comm/groups.h"

#include <algorithm>
#include <array>
#include <numeric>

namespace titan::comm {

namespace {

/// A rank with nobody else: collectives are the copies that are left of them, and nobody is told.
class LoneGroup : public ProcessGroup {
 public:
  LoneGroup(std::int64_t rank, at::Device device)
      : ProcessGroup("alone", {rank}, 0, nullptr), device_(device) {}

  at::Device device() const override { return device_; }
  void set_timeout(std::chrono::milliseconds) override {}

 protected:
  StartedWork do_all_reduce(const at::Tensor&, ReduceOp) override { return nullptr; }
  StartedWork do_all_gather(const at::Tensor& output, const at::Tensor& input) override {
    return copy(output, input);
  }
  StartedWork do_reduce_scatter(const at::Tensor& output, const at::Tensor& input) override {
    return copy(output, input);
  }
  StartedWork do_all_to_all(const at::Tensor& output, const at::Tensor& input,
                            const std::vector<std::int64_t>&,
                            const std::vector<std::int64_t>&) override {
    return copy(output, input);
  }
  StartedWork do_broadcast(const at::Tensor&, std::int64_t) override { return nullptr; }
  StartedWork do_exchange(const std::vector<Message>&) override { return nullptr; }
  StartedWork do_barrier() override { return nullptr; }

 private:
  /// An input may be its place in the output already.
  static StartedWork copy(const at::Tensor& output, const at::Tensor& input) {
    const bool is_there =
        output.is_alias_of(input) && output.storage_offset() == input.storage_offset();
    if (!is_there) {
      output.view({output.numel()}).copy_(input.view({input.numel()}));
    }
    return nullptr;
  }

  at::Device device_;
};

using mesh::MeshDim;

// What one communicator carries runs one after the other. Dimensions whose traffic is to overlap have one
// each, also where their ranks are the same list: fsdp gathers ahead and reduces behind what the layers
// send themselves (tp, cp, ep) and the stages each other (pp); efsdp does so for experts at the same time;
// dp_replicate sums what fsdp has reduced while fsdp reduces the next unit; experts send their rows (ep)
// while shared experts compute (tp). The first that has a list of ranks names the world's group, too.
constexpr std::array kOverlapping = {MeshDim::kFsdp, MeshDim::kDpReplicate, MeshDim::kTp,
                                     MeshDim::kCp,   MeshDim::kPp,          MeshDim::kEp,
                                     MeshDim::kEfsdp};
// These take the group of any other dimension with the same ranks: etp is to experts what tp is to the
// other layers, and a rank computes one at a time; batch, loss and the world are for sums that ranks wait
// for between the parts of a step, when nothing is under way.
constexpr std::array kSharing = {MeshDim::kEtp, MeshDim::kBatch, MeshDim::kLoss};
static_assert(kOverlapping.size() + kSharing.size() == mesh::kMeshDimNames.size());

bool has_peers(const mesh::ParallelDims& dims, MeshDim dim) {
  return dims.exists(dim) && dims.size(dim) > 1;
}

}  // namespace

Groups::Groups(at::Device device)
    : alone_(std::make_unique<LoneGroup>(0, device)), world_(alone_.get()) {}

Groups::Groups(Backend& backend, const mesh::ParallelDims& dims, std::int64_t rank,
               std::chrono::milliseconds timeout, CollectiveObserver* observer)
    : alone_(std::make_unique<LoneGroup>(rank, backend.device())), world_(alone_.get()) {
  if (dims.world_size() == 1) return;
  const auto make = [&](std::string_view name, const std::vector<std::int64_t>& ranks) {
    groups_.push_back(backend.make_group(std::string(name), ranks, timeout, observer));
    return groups_.back().get();
  };
  const auto with_ranks = [&](const std::vector<std::int64_t>& ranks) -> ProcessGroup* {
    const auto found = std::ranges::find(groups_, ranks, &ProcessGroup::ranks);
    return found == groups_.end() ? nullptr : found->get();
  };

  std::vector<std::int64_t> all(static_cast<std::size_t>(dims.world_size()));
  std::iota(all.begin(), all.end(), 0);
  const auto spanning = std::ranges::find_if(kOverlapping, [&](MeshDim dim) {
    return has_peers(dims, dim) && dims.size(dim) == dims.world_size();
  });
  const bool spans = spanning != kOverlapping.end();
  world_ = make(spans ? mesh::to_string(*spanning) : "world", all);
  if (spans) by_dim_[*spanning] = world_;
  for (const MeshDim dim : kOverlapping) {
    if (!has_peers(dims, dim) || by_dim_.count(dim) > 0) continue;
    by_dim_[dim] = make(mesh::to_string(dim), dims.ranks(dim, rank));
  }
  for (const MeshDim dim : kSharing) {
    if (!has_peers(dims, dim)) continue;
    const std::vector<std::int64_t> ranks = dims.ranks(dim, rank);
    ProcessGroup* shared = with_ranks(ranks);
    by_dim_[dim] = shared != nullptr ? shared : make(mesh::to_string(dim), ranks);
  }
}

ProcessGroup& Groups::find(mesh::MeshDim dim) const {
  const auto found = by_dim_.find(dim);
  return found == by_dim_.end() ? *alone_ : *found->second;
}

ProcessGroup& Groups::world() const { return *world_; }

void Groups::set_timeout(std::chrono::milliseconds timeout) {
  for (const auto& group : groups_) group->set_timeout(timeout);
}

void Groups::shut_down() {
  for (const auto& group : groups_) group->shut_down();
}

}  // namespace titan::comm
