// Routing, held against plain loops over tokens.
#include "titan/nn/moe/router.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "titan/base/errors.h"

namespace titan::nn {
namespace {

constexpr std::int64_t kTokens = 50;
constexpr std::int64_t kDim = 16;

using Row = std::vector<double>;

struct Routing {
  at::Tensor x;
  at::Tensor gate;
  Tensors out;
};

Routing route(const MoEArgs& args, const at::Tensor& bias = {}) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  TokenChoiceTopKRouter router(args, kDim, at::kFloat);
  router.to_empty(at::kCPU);
  {
    const c10::NoGradGuard no_grad;
    router.init_weights(0.5, generator);
  }
  const at::Tensor x = at::randn({kTokens, kDim}, generator, at::TensorOptions());
  return {x, router.named_parameters().at(0).tensor(), router({{x, bias}})};
}

/// Of one token, in double.
Row scores_of(const MoEArgs& args, const Routing& routing, std::int64_t token) {
  Row row;
  for (std::int64_t e = 0; e < args.num_experts; ++e) {
    row.push_back(
        (routing.x[token].to(at::kDouble) * routing.gate[e].to(at::kDouble)).sum().item<double>());
  }
  if (args.score_func == ScoreFunction::kSigmoid) {
    for (double& value : row) value = 1 / (1 + std::exp(-value));
    return row;
  }
  double sum = 0;
  for (double& value : row) sum += value = std::exp(value);
  for (double& value : row) value /= sum;
  return row;
}

/// Groups that a token may not use are out of the question.
Row within_groups(const MoEArgs& args, Row choice) {
  if (!args.num_expert_groups) return choice;
  const auto size = static_cast<std::size_t>(args.num_experts / *args.num_expert_groups);
  std::vector<std::pair<double, std::size_t>> groups;
  for (std::size_t g = 0; g * size < choice.size(); ++g) {
    Row of_group(choice.begin() + static_cast<std::ptrdiff_t>(g * size),
                 choice.begin() + static_cast<std::ptrdiff_t>((g + 1) * size));
    std::ranges::sort(of_group, std::greater<>());
    groups.emplace_back(of_group[0] + of_group[1], g);
  }
  std::ranges::sort(groups, std::greater<>());
  for (std::size_t i = static_cast<std::size_t>(*args.num_limited_groups); i < groups.size(); ++i) {
    std::fill_n(choice.begin() + static_cast<std::ptrdiff_t>(groups[i].second * size), size, -1e9);
  }
  return choice;
}

void expect_right(const MoEArgs& args, const Row& bias = {}) {
  const at::Tensor bias_tensor =
      bias.empty() ? at::Tensor() : at::tensor(bias, at::kDouble).to(at::kFloat);
  const Routing routing = route(args, bias_tensor);
  std::vector<std::int64_t> counts(static_cast<std::size_t>(args.num_experts), 0);
  for (std::int64_t token = 0; token < kTokens; ++token) {
    const Row scores = scores_of(args, routing, token);
    Row choice = scores;
    for (std::size_t e = 0; e < bias.size(); ++e) choice[e] += bias[e];
    choice = within_groups(args, choice);
    std::vector<std::int64_t> order(choice.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::sort(order, std::greater<>(),
                      [&](std::int64_t e) { return choice.at(static_cast<std::size_t>(e)); });
    const std::set<std::int64_t> best(order.begin(), order.begin() + args.top_k);
    double sum = 0;
    for (const std::int64_t e : best) sum += scores[static_cast<std::size_t>(e)];
    std::set<std::int64_t> chosen;
    for (std::int64_t k = 0; k < args.top_k; ++k) {
      const auto e = routing.out.at(1)[token][k].item<std::int64_t>();
      chosen.insert(e);
      ++counts[static_cast<std::size_t>(e)];
      const double score = scores[static_cast<std::size_t>(e)];
      EXPECT_NEAR(routing.out.at(0)[token][k].item<double>(),
                  (args.route_norm ? score / sum : score) * args.route_scale, 1e-5)
          << "token " << token << ", expert " << e;
    }
    EXPECT_EQ(chosen, best) << "token " << token;
  }
  EXPECT_TRUE(routing.out.at(2).equal(at::tensor(counts, at::kLong))) << routing.out.at(2);
}

MoEArgs args_of(std::int64_t experts, std::int64_t top_k, ScoreFunction function) {
  MoEArgs args;
  args.num_experts = experts;
  args.top_k = top_k;
  args.score_func = function;
  return args;
}

TEST(Router, SigmoidScores) { expect_right(args_of(8, 1, ScoreFunction::kSigmoid)); }

TEST(Router, SoftmaxScores) { expect_right(args_of(8, 3, ScoreFunction::kSoftmax)); }

TEST(Router, NormalisedAndScaled) {
  for (const ScoreFunction function : {ScoreFunction::kSigmoid, ScoreFunction::kSoftmax}) {
    MoEArgs args = args_of(8, 4, function);
    args.route_norm = true;
    args.route_scale = 2.5;
    expect_right(args);
  }
}

TEST(Router, TheBiasChoosesAndIsNoPartOfTheScores) {
  expect_right(args_of(8, 2, ScoreFunction::kSigmoid), {0.5, 0, 0, -0.7, 0.1, 0, 0.3, 0});
}

TEST(Router, GroupsWithLimits) {
  MoEArgs args = args_of(16, 4, ScoreFunction::kSigmoid);
  args.num_expert_groups = 4;
  args.num_limited_groups = 2;
  expect_right(args);
  expect_right(args, {0.4, 0, 0, 0, 0, -0.2, 0, 0, 0, 0, 0.3, 0, 0, 0, 0, 0.1});
}

TEST(Router, ForcedBalance) {
  MoEArgs args = args_of(5, 2, ScoreFunction::kSoftmax);
  args.force_load_balance = true;
  const Routing routing = route(args);
  EXPECT_TRUE(routing.out.at(2).equal(at::tensor({20, 20, 20, 20, 20}, at::kLong)));
  EXPECT_EQ(routing.out.at(1)[2][1].item<std::int64_t>(), 0);
  EXPECT_NEAR(routing.out.at(0)[2][1].item<double>(), scores_of(args, routing, 2)[0], 1e-5);
}

TEST(Router, RefusesNumbersThatDoNotGoTogether) {
  const auto refused = [](std::int64_t experts, std::int64_t top_k, std::int64_t groups,
                          std::optional<std::int64_t> limited) {
    MoEArgs args = args_of(experts, top_k, ScoreFunction::kSigmoid);
    args.num_expert_groups = groups;
    args.num_limited_groups = limited;
    EXPECT_THROW(check_routing(args), ConfigError) << experts << " " << top_k << " " << groups;
  };
  refused(8, 2, 4, std::nullopt);
  refused(8, 2, 3, 1);
  refused(8, 2, 8, 2);
  refused(8, 4, 4, 1);
  refused(8, 2, 4, 5);
  EXPECT_THROW(check_routing(args_of(4, 5, ScoreFunction::kSigmoid)), ConfigError);
}

TEST(Reorderer, PutsTokensInTheOrderOfTheirExperts) {
  TokenReorderer reorderer(4);
  const at::Tensor scores = at::tensor({0.1F, 0.2F, 0.3F, 0.4F, 0.5F, 0.6F}).view({3, 2});
  const at::Tensor experts = at::tensor({2, 0, 3, 2, 0, 2}, at::kLong).view({3, 2});
  const Tensors out = reorderer({{scores, experts}});
  EXPECT_TRUE(out.at(0).equal(at::tensor({0.2F, 0.5F, 0.1F, 0.4F, 0.6F, 0.3F}))) << out.at(0);
  EXPECT_TRUE(out.at(1).equal(at::tensor({1, 4, 0, 3, 5, 2}, at::kLong))) << out.at(1);
  EXPECT_TRUE(out.at(2).equal(at::tensor({2, 0, 3, 1}, at::kLong))) << out.at(2);
}

}  // namespace
}  // namespace titan::nn
