#include "titan/comm/groups.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>

#include "titan/base/errors.h"
#include "titan/comm/fake_backend.h"
#include "titan/comm/rank_context.h"

namespace titan::comm {
namespace {

using mesh::MeshDim;

/// Fails the test when it hears anything.
struct HearsNothing : CollectiveObserver {
  std::uint64_t started(const CollectiveCall& call) override {
    ADD_FAILURE() << call.operation << " of " << call.group;
    return 0;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }
};

void expect_does_nothing(ProcessGroup& group) {
  ASSERT_EQ(group.size(), 1);
  EXPECT_EQ(group.rank(), 0);
  const at::Tensor numbers = at::arange(6).to(at::kFloat);
  const at::Tensor sum = numbers.clone();
  Work work = group.all_reduce(sum);
  EXPECT_TRUE(work.pending()) << "as in every group, until it was waited for";
  work.wait();
  EXPECT_TRUE(sum.equal(numbers));
  const at::Tensor gathered = at::empty({1, 6});
  group.all_gather(gathered, numbers).wait();
  EXPECT_TRUE(gathered[0].equal(numbers));
  group.all_gather(gathered, gathered[0]).wait();
  const at::Tensor scattered = at::empty({6});
  group.reduce_scatter(scattered, numbers).wait();
  EXPECT_TRUE(scattered.equal(numbers));
  const at::Tensor both = at::cat({numbers, at::zeros({6})});
  group.reduce_scatter(both.narrow(0, 6, 6), both.narrow(0, 0, 6)).wait();
  EXPECT_TRUE(both.narrow(0, 6, 6).equal(numbers)) << "another place of the same memory";
  const at::Tensor rows = at::empty({3, 2});
  group.all_to_all(rows, numbers.view({3, 2}), {3}, {3}).wait();
  EXPECT_TRUE(rows.equal(numbers.view({3, 2})));
  group.broadcast(sum, 0).wait();
  group.barrier();
  EXPECT_THROW(group.send(sum, 0), InternalError);
}

TEST(Groups, OfOneRankDoNothing) {
  const RankContext context;
  for (std::size_t i = 0; i < mesh::kMeshDimNames.size(); ++i) {
    expect_does_nothing(context.group(static_cast<MeshDim>(i)));
  }
  expect_does_nothing(context.groups->world());
  EXPECT_EQ(Groups(at::kMeta).find(MeshDim::kTp).device(), at::kMeta);
}

TEST(Groups, DimensionsOfOneRankAreNotWatched) {
  HearsNothing observer;
  const auto backend = make_fake_backend(4);
  const Groups groups(*backend, {{1, 4}, 4}, 0, {}, &observer);
  EXPECT_EQ(groups.find(MeshDim::kFsdp).size(), 4);
  for (const MeshDim dim : {MeshDim::kPp, MeshDim::kDpReplicate, MeshDim::kTp, MeshDim::kEfsdp}) {
    expect_does_nothing(groups.find(dim));
  }
}

/// What groups rank 0 makes, as "fsdp 0 1; tp 0 2", and which dimensions share: "batch=fsdp".
struct Made {
  std::string groups;
  std::string sharing;
};

class ListingBackend : public Backend {
 public:
  explicit ListingBackend(std::int64_t world_size) : fake_(make_fake_backend(world_size)) {}
  std::string_view name() const override { return "listing"; }
  std::unique_ptr<ProcessGroup> make_group(const std::string& name,
                                           const std::vector<std::int64_t>& ranks,
                                           std::chrono::milliseconds timeout,
                                           CollectiveObserver* observer) override {
    made += (made.empty() ? "" : "; ") + name;
    for (const std::int64_t rank : ranks) made += concat(" ", rank);
    return fake_->make_group(name, ranks, timeout, observer);
  }
  std::string made;

 private:
  std::unique_ptr<Backend> fake_;
};

Made made_for(const mesh::Degrees& degrees, std::int64_t world_size) {
  ListingBackend backend(world_size);
  const mesh::ParallelDims dims(degrees, world_size);
  const Groups groups(backend, dims, 0, {}, nullptr);
  Made result = {backend.made, concat("world=", groups.world().name())};
  for (const MeshDim dim : {MeshDim::kBatch, MeshDim::kLoss, MeshDim::kEtp}) {
    if (groups.find(dim).size() == 1) continue;
    result.sharing += concat(" ", mesh::to_string(dim), "=", groups.find(dim).name());
  }
  for (std::size_t i = 0; i < mesh::kMeshDimNames.size(); ++i) {
    const auto dim = static_cast<MeshDim>(i);
    EXPECT_EQ(groups.find(dim).size(), dims.exists(dim) ? dims.size(dim) : 1) << to_string(dim);
    if (groups.find(dim).size() == 1) continue;
    EXPECT_EQ(groups.find(dim).ranks(), dims.ranks(dim, 0));
  }
  return result;
}

TEST(Groups, DimensionsShareThemWhereTheirTrafficNeverOverlaps) {
  const Made fsdp = made_for({1, 4}, 4);
  EXPECT_EQ(fsdp.groups, "fsdp 0 1 2 3");
  EXPECT_EQ(fsdp.sharing, "world=fsdp batch=fsdp loss=fsdp");
  const Made ddp = made_for({4, 1}, 4);
  EXPECT_EQ(ddp.groups, "dp_replicate 0 1 2 3");
  const Made hsdp = made_for({2, 2}, 4);
  EXPECT_EQ(hsdp.groups, "world 0 1 2 3; fsdp 0 1; dp_replicate 0 2");
  EXPECT_EQ(hsdp.sharing, "world=world batch=world loss=world");
  const Made pipeline = made_for({1, 2, 1, 1, 2}, 4);
  EXPECT_EQ(pipeline.groups, "world 0 1 2 3; fsdp 0 1; pp 0 2");
  EXPECT_EQ(pipeline.sharing, "world=world batch=fsdp loss=fsdp");
}

TEST(Groups, DimensionsWhoseTrafficOverlapsHaveTheirOwnOverTheSameRanks) {
  // Context parallelism alone shards parameters over its ranks.
  EXPECT_EQ(made_for({1, 1, 4}, 4).groups, "fsdp 0 1 2 3; cp 0 1 2 3");
  // Experts over the ranks that shard the rest.
  EXPECT_EQ(made_for({1, 4, 1, 1, 1, 4}, 4).groups, "fsdp 0 1 2 3; ep 0 1 2 3");
  // Experts over the ranks of tensor parallelism: sharded over those that shard the rest.
  const Made experts = made_for({1, 2, 1, 2, 1, 2}, 4);
  EXPECT_EQ(experts.groups, "world 0 1 2 3; fsdp 0 2; tp 0 1; ep 0 1; efsdp 0 2");
  EXPECT_EQ(experts.sharing, "world=world batch=fsdp loss=fsdp");
  // Experts cut by tensor parallelism too.
  const Made cut = made_for({1, 2, 1, 2, 1, 2, 2}, 4);
  EXPECT_EQ(cut.groups, "world 0 1 2 3; fsdp 0 2; tp 0 1; ep 0 2");
  EXPECT_EQ(cut.sharing, "world=world batch=fsdp loss=fsdp etp=tp");
}

}  // namespace
}  // namespace titan::comm
