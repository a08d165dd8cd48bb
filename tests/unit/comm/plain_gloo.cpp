#include "unit/comm/plain_gloo.h"

#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>

#include <numeric>

#include "comm/c10d_group.h"
#include "comm/c10d_store.h"

namespace titan::comm::test {

std::unique_ptr<ProcessGroup> make_plain_gloo(Store& store, const std::string& name,
                                              std::int64_t rank, std::int64_t size,
                                              std::chrono::milliseconds timeout) {
  std::vector<std::int64_t> ranks(static_cast<std::size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  auto gloo = c10::make_intrusive<c10d::ProcessGroupGloo>(
      c10::make_intrusive<C10dStore>(store, "plain/" + name + "/"), static_cast<int>(rank),
      static_cast<int>(size), c10d::ProcessGroupGloo::Options::create_default(timeout));
  return std::make_unique<C10dGroup>(C10dGroup::Members{name, ranks, rank, nullptr},
                                     std::move(gloo), at::kCPU);
}

}  // namespace titan::comm::test
