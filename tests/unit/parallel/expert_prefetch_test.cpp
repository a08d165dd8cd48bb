// In which order parameters are gathered where experts are on several ranks: the reference's, a block ahead.
#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>

#include <map>

#include "support/local_ranks.h"
#include "titan/config/job_config.h"
#include "titan/parallel/data_parallel.h"

namespace titan::parallel {
namespace {

using testing::ElementsAre;

/// A parameter by whose size its gathering is told from others'.
class Scale : public nn::Module {
 public:
  explicit Scale(std::int64_t size)
      : weight_(add_parameter("weight", at::empty({size}, at::TensorOptions().device(at::kMeta)))) {
  }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {inputs.at(0) * weight_->tensor.sum()};
  }

 private:
  ParameterSlot& weight_;
};

class Modules : public nn::Module {
 public:
  template <class Child, class... Arguments>
  Child& add(const std::string& name, const Arguments&... arguments) {
    return *add_child(name, std::make_unique<Child>(arguments...));
  }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    at::Tensor x = inputs.at(0);
    for (const auto& [name, child] : named_children()) x = child->call(x);
    return {inputs.at(0) + x};
  }
};

constexpr std::int64_t kBlocks = 3;

/// Three blocks, the first without experts. `sizes` gets the elements of each unit; powers of two, so that sums are told apart too.
void build(Modules& model, std::map<std::int64_t, std::string>& sizes) {
  std::int64_t size = 4;
  const auto next_size = [&](const std::string& name) {
    size *= 2;
    sizes[size] = name;
    return size;
  };
  model.add<Scale>("tok_embeddings", next_size("embedding"));
  auto& layers = model.add<Modules>("layers");
  for (std::int64_t i = 0; i < kBlocks; ++i) {
    const std::string number = std::to_string(i);
    auto& block = layers.add<Modules>(number);
    const std::int64_t own = next_size("block " + number);
    block.add<Scale>("attention", own);
    if (i == 0) continue;
    const std::int64_t experts = next_size("experts " + number);
    block.add<Modules>("moe").add<Scale>("experts", experts);
    sizes[own + experts] = "block and experts " + number;
  }
  model.add<Scale>("norm", next_size("norm and output"));
  model.add<Scale>("output", 0);
}

/// Gathers by the unit's name.
class Gathers : public comm::CollectiveObserver {
 public:
  std::uint64_t started(const comm::CollectiveCall& call) override {
    if (call.operation != "all_gather") return 0;
    const auto elements = call.bytes / static_cast<std::int64_t>(sizeof(float));
    const auto whole = elements * static_cast<std::int64_t>(call.ranks->size());
    seen.push_back(sizes.at(whole));
    return 0;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }
  std::map<std::int64_t, std::string> sizes;
  std::vector<std::string> seen;
};

/// What rank 0 gathers in forward, then in backward.
std::pair<std::vector<std::string>, std::vector<std::string>> gathered(const mesh::Degrees& degrees,
                                                                       std::int64_t ranks) {
  std::pair<std::vector<std::string>, std::vector<std::string>> result;
  comm::LocalWorld world(ranks);
  test::on_rank_threads(world, ranks, [&](std::int64_t rank) {
    Gathers gathers;
    const auto backend = world.backend(rank);
    comm::RankContext context;
    context.rank = rank;
    context.world_size = ranks;
    context.dims = mesh::ParallelDims(degrees, ranks);
    context.groups = std::make_shared<comm::Groups>(*backend, context.dims, rank,
                                                    std::chrono::seconds(60), &gathers);
    Modules model;
    build(model, gathers.sizes);
    config::Training training;
    training.mixed_precision_param = config::DType::kFloat32;
    const UnitTable units = {{{"tok_embeddings"}},
                             {{"layers.*.moe.experts"}, /*is_last=*/false, /*of_experts=*/true},
                             {{"layers.*"}},
                             {{"norm", "output"}, /*is_last=*/true}};
    const auto sharding = apply_data_parallel(model, units, context, {}, training);
    model.to_empty(at::kCPU);
    const at::Tensor y = model.call(at::ones({1}));
    const std::vector<std::string> forward = std::exchange(gathers.seen, {});
    y.sum().backward();
    if (rank == 0) result = {forward, gathers.seen};
  });
  return result;
}

TEST(ExpertPrefetch, IsABlockAheadInTheReferencesOrder) {
  const auto [forward, backward] = gathered({.dp_shard = 4, .ep = 2}, 4);
  EXPECT_THAT(forward, ElementsAre("embedding", "block 0", "block 1", "experts 1", "block 2",
                                   "experts 2", "norm and output"));
  // The end stays gathered; it asks for the last block only, whose experts are asked for where they are needed.
  EXPECT_THAT(backward,
              ElementsAre("block 2", "block 1", "experts 1", "experts 2", "block 0", "embedding"));
}

TEST(ExpertPrefetch, IsOneUnitAheadWhereExpertsBelongToTheirBlock) {
  const auto [forward, backward] = gathered({.dp_shard = 2}, 2);
  EXPECT_THAT(forward, ElementsAre("embedding", "block 0", "block and experts 1",
                                   "block and experts 2", "norm and output"));
  EXPECT_THAT(backward,
              ElementsAre("block and experts 2", "block and experts 1", "block 0", "embedding"));
}

}  // namespace
}  // namespace titan::parallel
