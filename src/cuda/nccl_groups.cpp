// Process groups on NCCL, for room comm: everything but their making is c10d's interface, which comm
// knows.
#include <torch/csrc/distributed/c10d/ProcessGroupNCCL.hpp>

#include "titan/comm/nccl_backend.h"

namespace titan::cuda {

namespace {

class NcclGroups : public comm::NcclGroups {
 public:
  c10::intrusive_ptr<c10d::Backend> make(const c10::intrusive_ptr<c10d::Store>& store,
                                         const comm::NcclGroupRequest& request) override {
    // Collectives run ahead of compute that is already queued: they are what other ranks wait for.
    auto options = c10d::ProcessGroupNCCL::Options::create(/*is_high_priority_stream=*/true);
    options->timeout = request.timeout;
    options->group_name = request.name;
    options->group_desc = request.name;
    options->global_ranks_in_group.assign(request.ranks.begin(), request.ranks.end());
    return c10::make_intrusive<c10d::ProcessGroupNCCL>(store, static_cast<int>(request.place),
                                                       static_cast<int>(request.ranks.size()),
                                                       std::move(options));
  }
};

}  // namespace

}  // namespace titan::cuda

extern "C" titan::comm::NcclGroups* titan_nccl_groups() {
  static titan::cuda::NcclGroups groups;
  return &groups;
}
