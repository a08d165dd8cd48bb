#include "schedule/orders.h"

#include <algorithm>
#include <deque>
#include <map>

namespace titan::schedule {

namespace {

/// One rank's list as it is written: each stage counts its microbatches by itself.
class RankOrder {
 public:
  /// Actions of microbatches from `limit` on are left out.
  explicit RankOrder(std::int64_t limit) : limit_(limit) {}

  Action next_forward(std::int64_t stage) { return {stage, Op::kForward, forwards_[stage]++}; }
  Action next_backward(std::int64_t stage) { return {stage, Op::kBackward, backwards_[stage]++}; }

  void forward(std::int64_t stage) { add(next_forward(stage)); }
  void backward(std::int64_t stage) { add(next_backward(stage)); }
  /// The first half; its second one waits.
  void input_gradient(std::int64_t stage) {
    const Action action{stage, Op::kInputGradient, backwards_[stage]++};
    add(action);
    if (action.microbatch < limit_) {
      waiting_.push_back({stage, Op::kWeightGradient, action.microbatch});
    }
  }
  /// The oldest second half of all stages.
  void oldest_weight_gradient() {
    if (waiting_.empty()) return;
    add(waiting_.front());
    waiting_.pop_front();
  }
  /// The oldest of one stage.
  void weight_gradient(std::int64_t stage) {
    const auto found = std::ranges::find(waiting_, stage, &Action::stage);
    if (found == waiting_.end()) return;
    add(*found);
    waiting_.erase(found);
  }
  void remaining_weight_gradients() {
    while (!waiting_.empty()) oldest_weight_gradient();
  }
  void overlapped(std::int64_t forward, std::int64_t backward) {
    const Action first = next_forward(forward);
    actions_.push_back(overlap(first, next_backward(backward)));
  }

  std::int64_t forwards(std::int64_t stage) { return forwards_[stage]; }
  std::int64_t backwards(std::int64_t stage) { return backwards_[stage]; }
  std::vector<Action> take() { return std::move(actions_); }

 private:
  void add(const Action& action) {
    if (action.microbatch < limit_) actions_.push_back(action);
  }

  std::int64_t limit_;
  std::vector<Action> actions_;
  std::map<std::int64_t, std::int64_t> forwards_;   // begun, by stage
  std::map<std::int64_t, std::int64_t> backwards_;  // likewise
  std::deque<Action> waiting_;                      // second halves, oldest first
};

template <class Write>
Orders for_each_rank(const Placement& placement, std::int64_t microbatches, const Write& write) {
  Orders result;
  for (std::int64_t rank = 0; rank < placement.ranks; ++rank) {
    RankOrder order(microbatches);
    write(rank, order);
    result.push_back(order.take());
  }
  return result;
}

}  // namespace

Orders gpipe(const Placement& placement, std::int64_t microbatches) {
  return for_each_rank(placement, microbatches, [&](std::int64_t stage, RankOrder& order) {
    for (std::int64_t m = 0; m < microbatches; ++m) order.forward(stage);
    for (std::int64_t m = 0; m < microbatches; ++m) order.backward(stage);
  });
}

Orders one_forward_one_backward(const Placement& placement, std::int64_t microbatches) {
  return for_each_rank(placement, microbatches, [&](std::int64_t stage, RankOrder& order) {
    const std::int64_t ahead = std::min(microbatches, placement.stages() - stage);
    for (std::int64_t m = 0; m < ahead; ++m) order.forward(stage);
    for (std::int64_t m = 0; m < microbatches; ++m) {
      order.backward(stage);
      if (ahead + m < microbatches) order.forward(stage);
    }
  });
}

Orders looped_bfs(const Placement& placement, std::int64_t microbatches) {
  Orders result;
  for (std::int64_t rank = 0; rank < placement.ranks; ++rank) {
    std::vector<Action> actions;
    const std::vector<std::int64_t> stages = placement.stages_of(rank);
    for (const std::int64_t stage : stages) {
      for (std::int64_t m = 0; m < microbatches; ++m) actions.push_back({stage, Op::kForward, m});
    }
    for (auto stage = stages.rbegin(); stage != stages.rend(); ++stage) {
      for (std::int64_t m = microbatches; m-- > 0;) actions.push_back({*stage, Op::kBackward, m});
    }
    result.push_back(std::move(actions));
  }
  return result;
}

Orders interleaved(const Placement& placement, std::int64_t microbatches, std::int64_t rounds,
                   Halves halves) {
  const std::int64_t local = placement.stages_per_rank;
  const std::int64_t in_a_round = microbatches / rounds;
  const std::int64_t total = local * microbatches;
  const std::int64_t distance = halves == Halves::kTogether ? 2 : 1;
  return for_each_rank(placement, microbatches, [&](std::int64_t rank, RankOrder& order) {
    const std::int64_t ahead =
        std::min((local - 1) * in_a_round + distance * (placement.ranks - 1 - rank), total);
    const auto stage = [&](std::int64_t place) { return rank + place * placement.ranks; };
    for (std::int64_t i = 0; i < total + ahead; ++i) {
      if (i < total) order.forward(stage(i / in_a_round % local));
      if (i < ahead) continue;
      const std::int64_t behind = stage(local - 1 - (i - ahead) / in_a_round % local);
      if (halves == Halves::kTogether) {
        order.backward(behind);
        continue;
      }
      order.input_gradient(behind);
      // Weight gradients fill what would be bubbles; the later a rank, the more it has to wait for.
      if (i - ahead >= rank) order.oldest_weight_gradient();
    }
    order.remaining_weight_gradients();
  });
}

Orders zero_bubble_v(const Placement& placement, std::int64_t microbatches) {
  const std::int64_t ranks = placement.ranks;
  // Fewer microbatches are the first of so many.
  const std::int64_t least = std::max(2 * ranks - 1, microbatches);
  return for_each_rank(placement, microbatches, [&](std::int64_t rank, RankOrder& order) {
    const std::int64_t down = rank;
    const std::int64_t up = 2 * ranks - 1 - rank;
    const auto backward = [&](std::int64_t stage) {
      order.input_gradient(stage);
      order.weight_gradient(stage);
    };
    for (std::int64_t i = 0; i < 2 * (ranks - rank) - 1; ++i) order.forward(down);
    for (std::int64_t i = 0; i < rank; ++i) {
      order.forward(up);
      order.forward(down);
    }
    for (std::int64_t i = 0; i < ranks - rank; ++i) {
      order.forward(up);
      backward(up);
    }
    while (order.forwards(up) < order.forwards(down) || order.forwards(down) < least) {
      if (order.forwards(down) < least) order.forward(down);
      backward(down);
      order.forward(up);
      backward(up);
    }
    for (std::int64_t i = 0; i < rank; ++i) {
      order.input_gradient(down);
      order.input_gradient(up);
    }
    for (std::int64_t i = 0; i < ranks - rank; ++i) {
      order.input_gradient(down);
      order.weight_gradient(down);
    }
    for (std::int64_t i = 0; i < rank; ++i) order.weight_gradient(up);
    for (std::int64_t i = 0; i < rank; ++i) order.weight_gradient(down);
  });
}

Orders dual_pipe_v(const Placement& placement, std::int64_t microbatches) {
  const std::int64_t ranks = placement.ranks;
  return for_each_rank(placement, microbatches, [&](std::int64_t rank, RankOrder& order) {
    const std::int64_t down = rank;
    const std::int64_t up = 2 * ranks - 1 - rank;
    const std::int64_t behind = ranks - 1 - rank;  // ranks further down
    for (std::int64_t i = 0; i < 2 * behind; ++i) order.forward(down);
    for (std::int64_t i = 0; i <= rank; ++i) {
      order.forward(down);
      order.forward(up);
    }
    for (std::int64_t i = 0; i < behind; ++i) {
      order.input_gradient(up);
      order.oldest_weight_gradient();
      order.forward(up);
    }
    for (std::int64_t i = 0; i <= microbatches - 2 * ranks + rank; ++i) {
      if (i == 0 && behind == 0) {  // nothing is on its way between the last rank's stages
        order.forward(down);
        order.backward(up);
      } else {
        order.overlapped(down, up);
      }
      order.overlapped(up, down);
    }
    for (std::int64_t i = 0; i < behind; ++i) {
      order.backward(up);
      order.overlapped(up, down);
    }
    // From the middle on weight gradients are put off, to fill what is left of the last step.
    bool apart = false;
    const auto backward = [&](std::int64_t stage) {
      apart ? order.input_gradient(stage) : order.backward(stage);
    };
    for (std::int64_t i = 0; i <= rank; ++i) {
      const bool is_middle = i == (rank + 1) / 2;
      if (is_middle && rank % 2 == 1) apart = true;
      backward(up);
      if (is_middle && rank % 2 == 0) apart = true;
      backward(down);
    }
    for (std::int64_t i = 0; i < behind; ++i) {
      order.oldest_weight_gradient();
      backward(down);
    }
    order.remaining_weight_gradients();
  });
}

}  // namespace titan::schedule
