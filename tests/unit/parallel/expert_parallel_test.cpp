// What expert parallelism sends, and when: sizes are exchanged once, and the shared experts compute while rows travel.
#include "titan/parallel/expert_parallel.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>

#include <map>
#include <mutex>

#include "support/local_ranks.h"
#include "support/one_mixture.h"
#include "titan/autograd/backward_hooks.h"
#include "titan/config/job_config.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/layout.h"

namespace titan::parallel {
namespace {

using config::ActivationCheckpointMode;
using Counts = std::map<std::string, int>;

/// What one rank was seen doing, in order.
using Seen = std::vector<std::string>;

struct Observer : comm::CollectiveObserver {
  std::uint64_t started(const comm::CollectiveCall& call) override {
    ++counts[std::string(call.operation)];
    seen.push_back("begin");
    return 0;
  }
  void finished(std::uint64_t) override { seen.push_back("end"); }
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }
  Counts counts;
  Seen seen;
};

struct Result {
  Counts forward;
  Counts both;  // forward and backward
  Seen seen_forward;
  Seen seen_backward;
  std::map<std::string, at::Tensor> gradients;
};

Result run(ActivationCheckpointMode mode, double budget = 0) {
  constexpr std::int64_t kRanks = 2;
  comm::LocalWorld world(kRanks);
  std::vector<Result> results(kRanks);
  test::on_rank_threads(world, kRanks, [&](std::int64_t rank) {
    Observer observer;
    const auto backend = world.backend(rank);
    comm::RankContext context;
    context.rank = rank;
    context.world_size = kRanks;
    context.dims = mesh::ParallelDims({.dp_shard = 2, .ep = 2}, kRanks);
    context.groups = std::make_shared<comm::Groups>(*backend, context.dims, rank,
                                                    std::chrono::seconds(60), &observer);
    test::OneMixture model;
    apply_expert_parallel(model, "moe", context);
    config::ActivationCheckpoint config;
    config.mode = mode;
    config.selective_ac_option = "op";
    config.memory_budget = budget;
    config.per_op_sac_force_recompute_mm_shapes_by_fqns = {};
    apply_ac(model, "moe", config, expert_save_policy(context.dims));
    model.to_empty(at::kCPU);
    {
      const c10::NoGradGuard no_grad;
      model.moe().init_weights(0.3, at::make_generator<at::CPUGeneratorImpl>(5), std::nullopt);
    }
    nn::Module& shared = model.moe().submodule("shared_experts");
    shared.wrap_forward([&](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
      observer.seen.push_back("shared experts");
      return forward(inputs);
    });
    for (const auto& [name, parameter] : shared.named_parameters()) {
      autograd::after_gradient(parameter->tensor,
                               [&, name] { observer.seen.push_back("gradient of " + name); });
    }
    const at::Tensor x =
        at::randn({1, 5, 8},
                  at::make_generator<at::CPUGeneratorImpl>(static_cast<std::uint64_t>(rank)),
                  at::TensorOptions())
            .set_requires_grad(true);
    Result& result = results[static_cast<std::size_t>(rank)];
    observer.counts.clear();
    observer.seen.clear();
    const at::Tensor y = model.call(x);
    result.forward = observer.counts;
    result.seen_forward = std::exchange(observer.seen, {});
    (y * y).sum().backward();
    result.both = observer.counts;
    result.seen_backward = observer.seen;
    result.gradients["x"] = x.grad();
    for (const auto& [name, parameter] : model.named_parameters()) {
      result.gradients[name] = full_tensor(parameter->tensor.grad(), *parameter, context).clone();
    }
  });
  EXPECT_EQ(results[0].both, results[1].both);
  return results[1];
}

/// Ranks with other rows in their experts' hands, and so other sizes, must not wait for each other for ever.
TEST(ExpertParallel, ByAMemoryBudgetRanksSendTheSame) {
  const Result plain = run(ActivationCheckpointMode::kNone);
  const Result little = run(ActivationCheckpointMode::kMemoryBudget, 0.2);
  const Result much = run(ActivationCheckpointMode::kMemoryBudget, 0.8);
  EXPECT_EQ(little.both, (Counts{{"all_to_all", 7}}));
  EXPECT_EQ(much.both, (Counts{{"all_to_all", 5}}));
  for (const auto& [name, gradient] : plain.gradients) {
    EXPECT_TRUE(little.gradients.at(name).equal(gradient)) << name;
    EXPECT_TRUE(much.gradients.at(name).equal(gradient)) << name;
  }
}

TEST(ExpertParallel, CountsTravelOnceWhateverRunsAgain) {
  const Result plain = run(ActivationCheckpointMode::kNone);
  const Result full = run(ActivationCheckpointMode::kFull);
  const Result by_operator = run(ActivationCheckpointMode::kSelective);
  // Counts, rows there, rows back; in backward rows twice more.
  for (const Result* result : {&plain, &full, &by_operator}) {
    EXPECT_EQ(result->forward, (Counts{{"all_to_all", 3}}));
  }
  EXPECT_EQ(plain.both, (Counts{{"all_to_all", 5}}));
  EXPECT_EQ(full.both, (Counts{{"all_to_all", 7}}));
  EXPECT_EQ(by_operator.both, (Counts{{"all_to_all", 5}}));
  for (const auto& [name, gradient] : plain.gradients) {
    EXPECT_TRUE(full.gradients.at(name).equal(gradient)) << name;
    EXPECT_TRUE(by_operator.gradients.at(name).equal(gradient)) << name;
  }
}

TEST(ExpertParallel, SharedExpertsComputeWhileRowsTravel) {
  const Result plain = run(ActivationCheckpointMode::kNone);
  const Seen forward = {"begin", "end",  // counts
                        "begin", "shared experts",
                        "end",            // rows to their experts
                        "begin", "end"};  // and back
  EXPECT_EQ(plain.seen_forward, forward);
  EXPECT_EQ(plain.seen_backward, (Seen{"begin", "end", "begin", "gradient of w2.weight",
                                       "gradient of w1.weight", "gradient of w3.weight", "end"}));
  // Run again, forward sends rows again, or finds them kept.
  const Result full = run(ActivationCheckpointMode::kFull);
  EXPECT_EQ(full.seen_forward, forward);
  Seen again(forward.begin() + 2, forward.end());
  again.insert(again.end(), plain.seen_backward.begin(), plain.seen_backward.end());
  EXPECT_EQ(full.seen_backward, again);
  const Result by_operator = run(ActivationCheckpointMode::kSelective);
  Seen without_rows = {"shared experts"};
  without_rows.insert(without_rows.end(), plain.seen_backward.begin(), plain.seen_backward.end());
  EXPECT_EQ(by_operator.seen_backward, without_rows);
}

}  // namespace
}  // namespace titan::parallel
