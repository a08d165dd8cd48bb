#include "titan/protocols/mixture_json.h"

#include <nlohmann/json.hpp>

namespace titan::protocols {

namespace {

template <class Value>
nlohmann::ordered_json json_or_null(const std::optional<Value>& value) {
  return value ? nlohmann::ordered_json(*value) : nlohmann::ordered_json(nullptr);
}

}  // namespace

nlohmann::ordered_json mixture_json(const nn::MoEArgs& args) {
  return {{"num_experts", args.num_experts},
          {"num_shared_experts", args.num_shared_experts},
          {"score_func", args.score_func == nn::ScoreFunction::kSigmoid ? "sigmoid" : "softmax"},
          {"route_norm", args.route_norm},
          {"route_scale", args.route_scale},
          {"score_before_experts", args.score_before_experts},
          {"top_k", args.top_k},
          {"num_expert_groups", json_or_null(args.num_expert_groups)},
          {"num_limited_groups", json_or_null(args.num_limited_groups)},
          {"load_balance_coeff", json_or_null(args.load_balance_coeff)}};
}

}  // namespace titan::protocols
