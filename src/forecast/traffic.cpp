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
  Communication& sum = by_group_[{std::string(call.group), std::string(call.operation)}];
  sum.mesh = call.group;
  sum.operation = call.operation;
  sum.ranks = ranks;
  sum.calls += times_;
  sum.tensor_bytes += times_ * (call.operation == "all_gather" ? call.bytes * ranks : call.bytes);
  const std::int64_t sent = times_ * ring_bytes(call.operation, call.bytes, ranks);
  sum.sent_bytes += sent;
  if (plan_ != nullptr) plan_->sent(call.group, sent);
  if (copies_) {
    sent_[++last_id_] =
        c10::GetAllocator(c10::kCPU)->allocate(static_cast<std::size_t>(call.bytes));
  }
  return last_id_;
}

void Traffic::reset() {
  by_group_.clear();
  if (plan_ != nullptr) plan_->reset();
}

std::string Traffic::explain(std::uint64_t, const comm::CollectiveCall& call,
                             std::string_view error) {
  return concat("forecast of ", call.operation, ": ", error);
}

std::vector<Communication> Traffic::total() const {
  std::vector<Communication> result;
  for (const auto& [key, sum] : by_group_) result.push_back(sum);
  return result;
}

}  // namespace titan::forecast
