#pragma once

#include <c10/core/DeviceType.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "titan/parallel/checkpoint_forward.h"
#include "titan/parallel/recompute_plan.h"

namespace titan::config {
struct JobConfig;
}
namespace titan::comm {
struct RankContext;
}

namespace titan::parallel {

/// What planning by a memory budget asks beside the budget.
struct Planning {
  c10::DeviceType kernels = c10::kCPU;  // whose speed is estimated
  std::int64_t rank = 0;
  /// Where pictures of the trade go; empty: none is drawn.
  std::string picture_folder = "";
};

Planning planning_of(const config::JobConfig& config, const comm::RankContext& context);

/// Which results of a model's blocks are kept for backward, so that its activations take the share `budget` of the way
/// from those of a model whose blocks are all computed again (0) to those of one that keeps all (1), and least is
/// computed again.
///
/// A block's first forward is watched: its operators, the sizes of their results, what autograd saves of them. Seconds are
/// estimated from operations and bytes, not measured, so that the ranks of a job, and a resumed job, decide alike. What
/// is kept is a knapsack of those results (recompute_plan.h). Where sizes depend on data - rows that are sent to experts - ranks
/// might disagree; there the results of communication are kept from a budget of 0.5 on, whatever their size.
class MemoryBudget : public std::enable_shared_from_this<MemoryBudget> {
 public:
  /// For `blocks` blocks. `always_kept`: operators whose results are never computed again.
  MemoryBudget(double budget, std::int64_t blocks, std::set<std::string> always_kept,
               Planning planning);

  /// The modes of every call of a block; `name` is for the log, where `logs`.
  std::function<SelectiveModes()> block(const std::string& name, bool logs);

 private:
  class Watcher;
  /// A block's choice: the calls, by operator and how often it was called before, whose results are kept.
  struct Plan {
    std::set<std::pair<std::string, std::int64_t>> kept;
    bool is_made = false;
  };
  /// What a forward was found to do.
  struct Observed {
    std::vector<Recomputable> results;
    std::vector<Recomputable> apart;  // communication of a size that depends on data
    std::int64_t saved_bytes = 0;     // by autograd, of what the block has made
  };

  double estimated_seconds(double flops, std::int64_t bytes, bool is_sent) const;
  Plan plan(const std::string& name, const Observed& observed, bool logs);
  void draw(const Observed& observed, std::int64_t chosen_bytes);

  double budget_;
  double share_of_blocks_;
  std::set<std::string> always_kept_;
  Planning planning_;
  /// Of blocks so far, by their results and the bytes that there are for them.
  std::map<std::pair<std::vector<Recomputable>, std::int64_t>, std::vector<bool>> choices_;
};

}  // namespace titan::parallel
