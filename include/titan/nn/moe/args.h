#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace titan::nn {

/// What makes a router's logits scores: of each expert by itself, or of all together.
enum class ScoreFunction { kSigmoid, kSoftmax };

/// One mixture-of-experts layer. Names and defaults are the reference's.
struct MoEArgs {
  std::int64_t num_experts = 8;
  /// Experts that every token passes, as one feed-forward layer of their joint width; 0: none.
  std::int64_t num_shared_experts = 1;
  /// Experts that a token is routed to.
  std::int64_t top_k = 1;
  ScoreFunction score_func = ScoreFunction::kSigmoid;
  /// A token's scores are divided by their sum, then all are multiplied by `route_scale`.
  bool route_norm = false;
  double route_scale = 1.0;
  /// Scores multiply what goes into the experts, else what comes out.
  bool score_before_experts = true;
  /// Experts are in so many groups, of which a token may use the best `num_limited_groups`: those with the largest sum of
  /// two scores. DeepSeek-AI 2024, node-limited routing.
  std::optional<std::int64_t> num_expert_groups;
  std::optional<std::int64_t> num_limited_groups;
  /// By how much an optimizer step moves the bias of an expert that had too few or too many tokens (Wang et al. 2024,
  /// auxiliary-loss-free load balancing); unset: there is no bias.
  std::optional<double> load_balance_coeff = 1e-3;
  /// Whether steps move the bias. False: it stays what it is, zero or as it was loaded.
  bool moves_bias = true;
  /// Experts in turn, whatever the scores say: for measurements.
  bool force_load_balance = false;
};

/// Throws ConfigError for numbers of experts and groups that do not go together.
void check_routing(const MoEArgs& args);

/// Why the experts cannot be shared out over so many ranks; nothing: they can.
std::vector<std::string> expert_parallel_problems(const MoEArgs& args, std::int64_t degree);

}  // namespace titan::nn
