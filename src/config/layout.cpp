#include "config/layout.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "config/degree_options.h"
#include "config/rules.h"
#include "titan/base/errors.h"
#include "titan/config/availability.h"

namespace titan::config {

using mesh::Degrees;

namespace {

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

Distance distance(const Degrees& from, const Degrees& to) {
  Distance result;
  for (const DegreeOption& option : kDegreeOptions) {
    const std::int64_t old_degree = from.*option.degree;
    const std::int64_t new_degree = to.*option.degree;
    if (old_degree != -1 && old_degree != new_degree) {
      ++result.changed;
      const double ratio = static_cast<double>(new_degree) / static_cast<double>(old_degree);
      result.factors += std::abs(std::log(ratio));
    }
  }
  return result;
}

/// Keeps the best few of the layouts it is shown.
class Nearest {
 public:
  explicit Nearest(const Degrees& wanted) : wanted_(wanted) {}

  void offer(const Degrees& layout) {
    constexpr std::size_t kShown = 3;
    const std::pair candidate(distance(wanted_, layout), layout);
    if (std::ranges::find(best_, candidate) != best_.end()) {
      return;
    }
    best_.insert(std::ranges::upper_bound(best_, candidate), candidate);
    best_.resize(std::min(best_.size(), kShown));
  }

  std::vector<Degrees> layouts() const {
    std::vector<Degrees> result;
    for (const auto& [unused, layout] : best_) {
      result.push_back(layout);
    }
    return result;
  }

 private:
  Degrees wanted_;
  std::vector<std::pair<Distance, Degrees>> best_;
};

/// Finds the layouts for one job.
class Search {
 public:
  Search(const Degrees& wanted, std::int64_t world_size, std::int64_t seq_len,
         const Degrees& largest, const LayoutFits& fits)
      : wanted_(wanted),
        seq_len_(seq_len),
        largest_(largest),
        fits_(fits),
        factors_(divisors(world_size)),
        nearest_(wanted) {
    Degrees layout{.dp_shard = 1};
    offer_ranks(layout, 0, world_size);
  }

  std::vector<Degrees> nearest() const { return nearest_.layouts(); }

 private:
  /// Every way to write `ranks` as a product of the degrees from `degree` on.
  void offer_ranks(Degrees& layout, std::size_t degree, std::int64_t ranks) {
    std::int64_t& here = layout.*kDegreeOptions[degree].degree;
    const std::int64_t largest = largest_.*kDegreeOptions[degree].degree;
    if (degree + 1 == kRankDegrees) {
      if (ranks > largest) return;
      here = ranks;
      if (mesh::sequences_divide(layout, seq_len_) && (!fits_ || fits_(layout))) {
        offer_experts(layout);
      }
      return;
    }
    for (const std::int64_t factor : factors_) {
      if (ranks % factor == 0 && factor <= largest) {
        here = factor;
        offer_ranks(layout, degree + 1, ranks / factor);
      }
    }
  }

  /// Expert tensor parallelism as wanted, as for the rest, and off.
  void offer_experts(const Degrees& layout) {
    if (wanted_.ep == 1 && wanted_.etp == 1) {
      nearest_.offer(layout);
      return;
    }
    for (const std::int64_t tensor : {wanted_.etp, layout.tp, std::int64_t{1}}) {
      offer_experts(layout, tensor);
    }
  }

  /// The expert degrees that fit and are next to the one wanted: it, or one below and one above.
  void offer_experts(Degrees layout, std::int64_t tensor) {
    if (tensor > largest_.etp) return;
    layout.etp = tensor;
    std::optional<Degrees> below;
    for (const std::int64_t experts : factors_) {
      layout.ep = experts;
      if (experts > largest_.ep || !mesh::expert_tensor_fits(layout) ||
          !mesh::experts_divide(layout) || (fits_ && !fits_(layout))) {
        continue;
      }
      if (experts >= wanted_.ep) {
        nearest_.offer(layout);
        break;
      }
      below = layout;
    }
    if (below) {
      nearest_.offer(*below);
    }
  }

  Degrees wanted_;
  std::int64_t seq_len_;
  Degrees largest_;
  LayoutFits fits_;
  std::vector<std::int64_t> factors_;
  Nearest nearest_;
};

}  // namespace

std::vector<Degrees> nearest_layouts(const Degrees& wanted, std::int64_t world_size,
                                     std::int64_t seq_len, const Degrees& largest,
                                     const LayoutFits& fits) {
  constexpr std::int64_t kMostRanks = std::int64_t{1} << 24;
  if (world_size > kMostRanks) {
    return {};  // the search would take longer than anybody waits
  }
  return Search(wanted, world_size, seq_len, largest, fits).nearest();
}

std::string nearest_layouts_text(const JobConfig& config, std::int64_t world_size,
                                 const LayoutFits& fits) {
  std::string layouts;
  for (const Degrees& near : nearest_layouts(config.parallelism.degrees(), world_size,
                                             config.training.seq_len, largest_degrees(), fits)) {
    layouts +=
        concat(layouts.empty() ? "; nearest valid layouts: {" : " {", layout_text(near), "}");
  }
  return layouts;
}

std::string layout_text(const Degrees& layout) {
  std::string text;
  for (const auto& [name, degree] : kDegreeOptions) {
    if (layout.*degree != 1) {
      text += concat(text.empty() ? "" : ", ", name, "=", layout.*degree);
    }
  }
  return text.empty() ? "all degrees 1" : text;
}

// The rules.

namespace {

void degrees_make_world_size(const Rules& rules) {
  const Degrees degrees = rules.config.parallelism.degrees();
  std::string product;
  for (std::size_t i = 0; i < kRankDegrees; ++i) {
    const auto& [name, degree] = kDegreeOptions[i];
    if (degrees.*degree != -1) {
      product += concat(product.empty() ? "" : " * ", name, "(", degrees.*degree, ")");
    }
  }
  rules.broken({"parallelism.tensor_parallel_degree", "parallelism.pipeline_parallel_degree",
                "parallelism.context_parallel_degree", "parallelism.data_parallel_replicate_degree",
                "parallelism.data_parallel_shard_degree"},
               "invalid parallel dims: ", product,
               degrees.dp_shard == -1 ? " does not divide" : " is not", " the world size ",
               rules.world_size);
}

void expert_tensor_is_off_or_tensor(const Rules& rules) {
  const Degrees degrees = rules.config.parallelism.degrees();
  if (!mesh::expert_tensor_fits(degrees)) {
    rules.broken({"parallelism.expert_tensor_parallel_degree"},
                 "parallelism.expert_tensor_parallel_degree must be 1 or tensor_parallel_degree (",
                 degrees.tp, "), got ", degrees.etp);
  }
}

void experts_split_their_ranks(const Rules& rules, const Degrees& degrees) {
  if (!mesh::experts_divide(degrees)) {
    rules.broken(
        {"parallelism.expert_parallel_degree", "parallelism.expert_tensor_parallel_degree"},
        "parallelism.expert_parallel_degree (", degrees.ep, ") * expert_tensor_parallel_degree (",
        degrees.etp, ") must divide the ranks of shard * context * tensor parallelism (",
        mesh::expert_ranks(degrees), ")");
  }
}

/// Behind the first problem from `first` on.
void add_nearest_layouts(const Rules& rules, std::size_t first, const ModelLayouts& model_layouts) {
  if (rules.problems.size() == first) return;
  const LayoutFits fits = model_layouts ? model_layouts(rules.config) : LayoutFits();
  rules.problems[first].what += nearest_layouts_text(rules.config, rules.world_size, fits);
}

void seq_len_divides(const Rules& rules) {
  const Parallelism& parallelism = rules.config.parallelism;
  const std::int64_t tp = parallelism.tensor_parallel_degree;
  const std::int64_t cp = parallelism.context_parallel_degree;
  const std::int64_t seq_len = rules.config.training.seq_len;
  if (!mesh::sequences_divide(parallelism.degrees(), seq_len)) {
    rules.broken({"training.seq_len", "parallelism.tensor_parallel_degree",
                  "parallelism.context_parallel_degree"},
                 "training.seq_len (", seq_len,
                 ") must be a multiple of 2 * "
                 "tensor_parallel_degree (",
                 tp, ") * context_parallel_degree (", cp, ")");
  }
}

}  // namespace

void check_layout(const Rules& rules, const ModelLayouts& model_layouts) {
  const std::size_t first = rules.problems.size();
  if (const auto whole = mesh::resolved(rules.config.parallelism.degrees(), rules.world_size)) {
    experts_split_their_ranks(rules, *whole);
  } else {
    degrees_make_world_size(rules);
  }
  expert_tensor_is_off_or_tensor(rules);
  add_nearest_layouts(rules, first, model_layouts);
  seq_len_divides(rules);
}

}  // namespace titan::config
