#include "config/layout.h"

#include <algorithm>
#include <cmath>

#include "titan/base/errors.h"

namespace titan::config {
namespace {

/// The product, or `limit + 1` where it is larger than `limit` (which also keeps it from
/// overflowing). Degrees are at least 1.
std::int64_t product_up_to(std::int64_t limit, const Layout& layout) {
  std::int64_t product = 1;
  for (const std::int64_t degree : layout) {
    if (degree > limit / product) {
      return limit + 1;
    }
    product *= degree;
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

/// Offers every way to write `ranks` as a product of the degrees from `degree` on.
void offer_all(Layout& layout, std::size_t degree, std::int64_t ranks,
               const std::vector<std::int64_t>& factors, std::int64_t seq_len, Nearest& nearest) {
  if (degree + 1 == layout.size()) {
    layout[degree] = ranks;
    if (seq_len % (2 * layout[kContext] * layout[kTensor]) == 0) {
      nearest.offer(layout);
    }
    return;
  }
  for (const std::int64_t factor : factors) {
    if (ranks % factor == 0) {
      layout[degree] = factor;
      offer_all(layout, degree + 1, ranks / factor, factors, seq_len, nearest);
    }
  }
}

}  // namespace

Layout layout_as_set(const Parallelism& parallelism) {
  return {parallelism.data_parallel_replicate_degree, parallelism.data_parallel_shard_degree,
          parallelism.context_parallel_degree, parallelism.tensor_parallel_degree,
          parallelism.pipeline_parallel_degree};
}

std::optional<Layout> resolved_layout(const Parallelism& parallelism, std::int64_t world_size) {
  Layout layout = layout_as_set(parallelism);
  if (layout[kShard] == -1) {
    layout[kShard] = 1;
    layout[kShard] = std::max<std::int64_t>(1, world_size / product_up_to(world_size, layout));
  }
  if (product_up_to(world_size, layout) != world_size) {
    return std::nullopt;
  }
  return layout;
}

std::vector<Layout> nearest_layouts(const Parallelism& parallelism, std::int64_t world_size,
                                    std::int64_t seq_len) {
  Nearest nearest(layout_as_set(parallelism));
  Layout layout{};
  offer_all(layout, 0, world_size, divisors(world_size), seq_len, nearest);
  return nearest.layouts();
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
