#include "config/layout.h"

#include <algorithm>
#include <cmath>

#include "titan/base/errors.h"

namespace titan::config {
namespace {

/// The ranks, or `limit + 1` where there are more than `limit` (which also keeps the product from
/// overflowing). Degrees are at least 1.
std::int64_t ranks_up_to(std::int64_t limit, const Layout& layout) {
  std::int64_t product = 1;
  for (std::size_t i = 0; i < kRankDegrees; ++i) {
    if (layout[i] > limit / product) {
      return limit + 1;
    }
    product *= layout[i];
  }
  return product;
}

std::vector<std::int64_t> divisors(std::int64_t number) {
  std::vector<std::int64_t> result;
  for (std::int64_t small = 1; small * small <= number; ++small) {
    if (number % small == 0) {
      result.push_back(small);
      if (small != number / small) {
        result.push_back(number / small);
      }
    }
  }
  std::ranges::sort(result);
  return result;
}

/// How far a layout is from the one set. Changing more degrees is farther than changing one much.
struct Distance {
  int changed = 0;
  double factors = 0;  ///< sum over the degrees of |log(new / old)|

  auto operator<=>(const Distance&) const = default;
};

Distance distance(const Layout& from, const Layout& to) {
  Distance result;
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (from[i] != -1 && from[i] != to[i]) {
      ++result.changed;
      const double ratio = static_cast<double>(to[i]) / static_cast<double>(from[i]);
      result.factors += std::abs(std::log(ratio));
    }
  }
  return result;
}

/// Keeps the best few of the layouts it is shown.
class Nearest {
 public:
  explicit Nearest(const Layout& wanted) : wanted_(wanted) {}

  void offer(const Layout& layout) {
    constexpr std::size_t kShown = 3;
    const std::pair candidate(distance(wanted_, layout), layout);
    if (std::ranges::find(best_, candidate) != best_.end()) {
      return;
    }
    best_.insert(std::ranges::upper_bound(best_, candidate), candidate);
    best_.resize(std::min(best_.size(), kShown));
  }

  std::vector<Layout> layouts() const {
    std::vector<Layout> result;
    for (const auto& [unused, layout] : best_) {
      result.push_back(layout);
    }
    return result;
  }

 private:
  Layout wanted_;
  std::vector<std::pair<Distance, Layout>> best_;
};

/// Finds the layouts for one job.
class Search {
 public:
  Search(const Layout& wanted, std::int64_t world_size, std::int64_t seq_len)
      : wanted_(wanted), seq_len_(seq_len), factors_(divisors(world_size)), nearest_(wanted) {
    Layout layout;
    layout.fill(1);
    offer_ranks(layout, 0, world_size);
  }

  std::vector<Layout> nearest() const { return nearest_.layouts(); }

 private:
  /// Every way to write `ranks` as a product of the degrees from `degree` on.
  void offer_ranks(Layout& layout, std::size_t degree, std::int64_t ranks) {
    if (degree + 1 == kRankDegrees) {
      layout[degree] = ranks;
      if (seq_len_ % (2 * layout[kContext] * layout[kTensor]) == 0 && replicas_fit(layout)) {
        offer_experts(layout);
      }
      return;
    }
    for (const std::int64_t factor : factors_) {
      if (ranks % factor == 0) {
        layout[degree] = factor;
        offer_ranks(layout, degree + 1, ranks / factor);
      }
    }
  }

  /// Expert tensor parallelism as wanted, as for the rest, and off.
  void offer_experts(const Layout& layout) {
    if (wanted_[kExpert] == 1 && wanted_[kExpertTensor] == 1) {
      nearest_.offer(layout);
      return;
    }
    for (const std::int64_t tensor : {wanted_[kExpertTensor], layout[kTensor], std::int64_t{1}}) {
      offer_experts(layout, tensor);
    }
  }

  /// The expert degrees that fit and are next to the one wanted: it, or one below and one above.
  void offer_experts(Layout layout, std::int64_t tensor) {
    layout[kExpertTensor] = tensor;
    std::optional<Layout> below;
    for (const std::int64_t experts : factors_) {
      layout[kExpert] = experts;
      if (!expert_tensor_fits(layout) || !experts_divide(layout)) {
        continue;
      }
      if (experts >= wanted_[kExpert]) {
        nearest_.offer(layout);
        break;
      }
      below = layout;
    }
    if (below) {
      nearest_.offer(*below);
    }
  }

  Layout wanted_;
  std::int64_t seq_len_;
  std::vector<std::int64_t> factors_;
  Nearest nearest_;
};

}  // namespace

Layout layout_as_set(const Parallelism& parallelism) {
  return {parallelism.data_parallel_replicate_degree, parallelism.data_parallel_shard_degree,
          parallelism.context_parallel_degree,        parallelism.tensor_parallel_degree,
          parallelism.pipeline_parallel_degree,       parallelism.expert_parallel_degree,
          parallelism.expert_tensor_parallel_degree};
}

std::optional<Layout> resolved_layout(const Parallelism& parallelism, std::int64_t world_size) {
  Layout layout = layout_as_set(parallelism);
  if (layout[kShard] == -1) {
    layout[kShard] = 1;
    layout[kShard] = std::max<std::int64_t>(1, world_size / ranks_up_to(world_size, layout));
  }
  if (ranks_up_to(world_size, layout) != world_size) {
    return std::nullopt;
  }
  return layout;
}

bool experts_divide(const Layout& layout) {
  const std::int64_t ranks = layout[kShard] * layout[kContext] * layout[kTensor];
  const std::int64_t tensor = layout[kExpertTensor];
  // Too large a degree divides nothing; the first test keeps the product from overflowing.
  return layout[kExpert] <= ranks / tensor && ranks % (tensor * layout[kExpert]) == 0;
}

bool expert_tensor_fits(const Layout& layout) {
  const std::int64_t tensor = layout[kExpertTensor];
  return layout[kExpert] == 1 || tensor == 1 || tensor == layout[kTensor];
}

bool replicas_fit(const Layout& layout) {
  const bool shards = layout[kShard] * layout[kContext] > 1;
  return layout[kReplicate] == 1 || shards || layout[kTensor] * layout[kPipeline] == 1;
}

std::vector<Layout> nearest_layouts(const Parallelism& parallelism, std::int64_t world_size,
                                    std::int64_t seq_len) {
  constexpr std::int64_t kMostRanks = std::int64_t{1} << 24;
  if (world_size > kMostRanks) {
    return {};  // the search would take longer than anybody waits
  }
  return Search(layout_as_set(parallelism), world_size, seq_len).nearest();
}

std::string layout_text(const Layout& layout) {
  std::string text;
  for (std::size_t i = 0; i < layout.size(); ++i) {
    if (layout[i] != 1) {
      text += concat(text.empty() ? "" : ", ", kDegreeNames[i], "=", layout[i]);
    }
  }
  return text.empty() ? "all degrees 1" : text;
}

}  // namespace titan::config
