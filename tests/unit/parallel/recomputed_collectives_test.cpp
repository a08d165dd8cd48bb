// Which collectives of a selectively checkpointed block run again in backward.
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <gmock/gmock.h>

#include <map>

#include "support/local_ranks.h"
#include "titan/comm/autograd_collectives.h"
#include "titan/parallel/selective_recompute.h"

namespace titan::parallel {
namespace {

using Counts = std::map<std::string, int>;

struct Counter : comm::CollectiveObserver {
  std::uint64_t started(const comm::CollectiveCall& call) override {
    ++counts[std::string(call.operation)];
    return 0;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }
  Counts counts;
};

struct Result {
  Counts forward;
  Counts both;  // forward and backward
  at::Tensor gradient;
};

/// A block as under sequence parallelism: gather, compute, scatter, compute.
Result run(const std::function<SelectiveModes()>& modes, bool checkpoint) {
  constexpr std::int64_t kRanks = 2;
  comm::LocalWorld world(kRanks);
  std::vector<Result> results(kRanks);
  test::on_rank_threads(world, kRanks, [&](std::int64_t rank) {
    Counter counter;
    const auto backend = world.backend(rank);
    const auto group = backend->make_group("tp", {0, 1}, std::chrono::seconds(60), &counter);
    const nn::Module::Forward block = [&](const nn::Tensors& inputs) -> nn::Tensors {
      const at::Tensor whole = comm::all_gather(inputs[0].sin(), 0, *group);
      const at::Tensor part = comm::reduce_scatter(whole.cos() * (rank + 1), 0, *group);
      return {part * part};
    };
    const at::Tensor x = at::arange(6.0).view({2, 3}).add_(rank).set_requires_grad(true);
    CheckpointOptions options;
    options.selective_modes = modes;
    const at::Tensor y = checkpoint ? checkpoint_forward(block, {x}, options)[0] : block({x})[0];
    Result& result = results[static_cast<std::size_t>(rank)];
    result.forward = counter.counts;
    y.sum().backward();
    result.both = counter.counts;
    result.gradient = x.grad();
  });
  EXPECT_EQ(results[0].both, results[1].both);
  return results[1];
}

TEST(RecomputedCollectives, AReduceScatterIsKeptAndAnAllGatherRunsAgain) {
  const auto policy = std::make_shared<const OperatorSavePolicy>(default_save_policy());
  const Result plain = run(nullptr, /*checkpoint=*/false);
  const Result full = run(nullptr, /*checkpoint=*/true);
  const Result selective = run([&] { return selective_modes(policy); }, /*checkpoint=*/true);
  const Counts one_each = {{"all_gather", 1}, {"reduce_scatter", 1}};
  EXPECT_EQ(plain.forward, one_each);
  EXPECT_EQ(full.forward, one_each);
  EXPECT_EQ(selective.forward, one_each);
  // Backward of each is the other.
  EXPECT_EQ(plain.both, (Counts{{"all_gather", 2}, {"reduce_scatter", 2}}));
  EXPECT_EQ(full.both, (Counts{{"all_gather", 3}, {"reduce_scatter", 3}}));
  EXPECT_EQ(selective.both, (Counts{{"all_gather", 3}, {"reduce_scatter", 2}}));
  EXPECT_TRUE(full.gradient.equal(plain.gradient));
  EXPECT_TRUE(selective.gradient.equal(plain.gradient));
}

}  // namespace
}  // namespace titan::parallel
