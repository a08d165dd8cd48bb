#include "titan/comm/groups.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
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

}  // namespace
}  // namespace titan::comm
