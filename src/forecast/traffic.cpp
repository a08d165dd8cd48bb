#include "forecast/traffic.h"

#include "titan/base/errors.h"

namespace titan::forecast {
namespace {

/// What a rank sends (and receives) when the ranks stand in a ring, which is the least there is.
std::int64_t ring_bytes(std::string_view operation, std::int64_t input, std::int64_t ranks) {
  if (operation == "all_gather") return input * (ranks - 1);
  if (operation == "reduce_scatter") return input / ranks * (ranks - 1);
  if (operation == "all_reduce") return 2 * (input / ranks) * (ranks - 1);
  return input;
}

}  // namespace

std::uint64_t Traffic::started(const comm::CollectiveCall& call) {
  const auto ranks = static_cast<std::int64_t>(call.ranks->size());
  Communication& sum = by_group_[{mesh_of(call), std::string(call.operation)}];
  sum.mesh = mesh_of(call);
  sum.operation = call.operation;
  sum.ranks = ranks;
  sum.calls += times_;
  sum.tensor_bytes += times_ * (call.operation == "all_gather" ? call.bytes * ranks : call.bytes);
  sum.sent_bytes += times_ * ring_bytes(call.operation, call.bytes, ranks);
  if (copies_) {
    sent_[++last_id_] =
        c10::GetAllocator(c10::kCPU)->allocate(static_cast<std::size_t>(call.bytes));
  }
  return last_id_;
}

std::string Traffic::explain(std::uint64_t, const comm::CollectiveCall& call,
                             std::string_view error) {
  return concat("forecast of ", call.operation, ": ", error);
}

/// A group is named after the first mesh that has its ranks; these say more.
std::string Traffic::mesh_of(const comm::CollectiveCall& call) const {
  using mesh::MeshDim;
  for (const MeshDim dim : {MeshDim::kFsdp, MeshDim::kDpReplicate}) {
    if (dims_.size(dim) == static_cast<std::int64_t>(call.ranks->size()) &&
        dims_.ranks(dim, 0) == *call.ranks) {
      return std::string(to_string(dim));
    }
  }
  return std::string(call.group);
}

std::vector<Communication> Traffic::total() const {
  std::vector<Communication> result;
  for (const auto& [key, sum] : by_group_) result.push_back(sum);
  return result;
}

}  // namespace titan::forecast
