#pragma once

#include <c10/core/Allocator.h>

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "forecast/plan_trace.h"
#include "titan/comm/process_group.h"
#include "titan/forecast/figures.h"

namespace titan::forecast {

/// Adds up the collectives of rank 0. The back ends of CPUs (`copies`) keep a copy of what is sent
/// from start to end; so does this. Where in a step something is sent, `plan` knows, which may be null.
class Traffic : public comm::CollectiveObserver {
 public:
  explicit Traffic(bool copies, PlanTrace* plan = nullptr) : copies_(copies), plan_(plan) {}

  std::uint64_t started(const comm::CollectiveCall& call) override;
  void finished(std::uint64_t id) override { sent_.erase(id); }
  std::string explain(std::uint64_t id, const comm::CollectiveCall& call,
                      std::string_view error) override;

  void reset();
  /// Each collective from now on stands for so many.
  void count_as(std::int64_t times) { times_ = times; }
  std::vector<Communication> total() const;

 private:
  bool copies_;
  PlanTrace* plan_;
  std::uint64_t last_id_ = 0;
  std::map<std::uint64_t, c10::DataPtr> sent_;
  std::int64_t times_ = 1;
  std::map<std::pair<std::string, std::string>, Communication> by_group_;
};

}  // namespace titan::forecast
