#include "titan/parallel/placement.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/zeros_like.h>
#include <gtest/gtest.h>

#include "support/local_ranks.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/nn/chunk.h"

namespace titan::parallel {
namespace {

constexpr std::int64_t kRanks = 3;

at::Tensor numbers(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

void on_ranks(const std::function<void(std::int64_t, comm::ProcessGroup&)>& body) {
  test::on_local_ranks({1, kRanks}, kRanks, [&](const comm::RankContext& context) {
    body(context.rank, context.groups->world());
  });
}

at::Tensor part(const at::Tensor& whole, std::int64_t dim, std::int64_t rank) {
  const nn::Chunk chunk = nn::chunk_of(whole.size(dim), kRanks, rank);
  return whole.narrow(dim, chunk.offset, chunk.length);
}

/// What a rank has of a tensor: `whole` is the value of all, or the sum.
at::Tensor placed(const at::Tensor& whole, Placement placement, std::int64_t rank) {
  if (placement.kind() == Placement::Kind::kCut) return part(whole, placement.dim(), rank);
  if (placement.kind() != Placement::Kind::kPartial) return whole;
  at::Tensor rest = whole;  // terms that sum to it
  for (int r = 0; r + 1 < kRanks; ++r) rest = rest - numbers(whole.sizes(), 50 + r);
  return rank + 1 == kRanks ? rest : numbers(whole.sizes(), 50 + rank);
}

/// The placement of the gradient of a tensor.
Placement of_gradient(Placement value) {
  if (value == Placement::shared()) return Placement::partial();
  return value == Placement::partial() ? Placement::whole() : value;
}

class Moves : public ::testing::TestWithParam<Move> {};

TEST_P(Moves, CarryValuesAndGradients) {
  const auto [from, to] = GetParam();
  // Lengths: that the ranks divide, and that leave a short part, and none at all.
  for (const std::int64_t length : {6, 7, 4}) {
    const bool two_cuts = from.kind() == to.kind();
    if (two_cuts && length != 6) continue;
    const std::vector<std::int64_t> sizes = {2, length, length};
    const at::Tensor value = numbers(sizes, 1);
    const at::Tensor gradient = numbers(sizes, 2);
    on_ranks([&](std::int64_t rank, comm::ProcessGroup& group) {
      const at::Tensor before = placed(value, from, rank).clone().requires_grad_();
      const at::Tensor after = redistribute(
          before, {from, to}, group, two_cuts ? std::nullopt : std::optional<std::int64_t>(length));
      EXPECT_TRUE(at::allclose(after.detach(), placed(value, to, rank)));
      after.backward(placed(gradient, of_gradient(to), rank).contiguous());
      // A gradient that is a sum may be spread over the ranks in any way.
      at::Tensor got = before.grad().contiguous();
      if (of_gradient(from) == Placement::partial()) group.all_reduce(got).wait();
      const at::Tensor expected = of_gradient(from) == Placement::partial()
                                      ? gradient
                                      : placed(gradient, of_gradient(from), rank);
      EXPECT_TRUE(at::allclose(got, expected));
    });
  }
}

INSTANTIATE_TEST_SUITE_P(All, Moves,
                         ::testing::Values(Move{Placement::whole(), Placement::shared()},
                                           Move{Placement::whole(), Placement::cut(1)},
                                           Move{Placement::shared(), Placement::cut(1)},
                                           Move{Placement::shared(), Placement::cut(2)},
                                           Move{Placement::cut(1), Placement::shared()},
                                           Move{Placement::cut(2), Placement::shared()},
                                           Move{Placement::cut(1), Placement::whole()},
                                           Move{Placement::cut(2), Placement::whole()},
                                           Move{Placement::cut(1), Placement::cut(2)},
                                           Move{Placement::cut(2), Placement::cut(1)},
                                           Move{Placement::partial(), Placement::whole()},
                                           Move{Placement::partial(), Placement::shared()},
                                           Move{Placement::partial(), Placement::cut(1)},
                                           Move{Placement::partial(), Placement::cut(2)}));

TEST(Redistribute, EvenPartsNeedNoLength) {
  on_ranks([](std::int64_t rank, comm::ProcessGroup& group) {
    const at::Tensor whole = numbers({2, 6}, 3);
    const Move gather = {Placement::cut(-1), Placement::whole()};
    EXPECT_TRUE(redistribute(part(whole, 1, rank), gather, group).equal(whole));
  });
}

TEST(Redistribute, TheSameDimensionCountedFromBothEndsIsNoMove) {
  on_ranks([](std::int64_t rank, comm::ProcessGroup& group) {
    const at::Tensor mine = part(numbers({2, 6}, 3), 1, rank);
    const Move none = {Placement::cut(-1), Placement::cut(1)};
    EXPECT_TRUE(redistribute(mine, none, group).is_same(mine));
  });
}

TEST(MoveText, SaysWhatIsSentBothWays) {
  const MoveText gather = text_of({Placement::cut(1), Placement::shared()});
  EXPECT_EQ(gather.forward, "all-gather of dimension 1");
  EXPECT_EQ(gather.backward, "reduce-scatter of dimension 1");
  const MoveText nothing = text_of({Placement::cut(1), Placement::cut(1)});
  EXPECT_EQ(nothing.forward + nothing.backward, "");
}

TEST(MoveText, NothingBecomesPartial) {
  EXPECT_EQ(test::message_of<InternalError>([] {
              text_of({Placement::cut(0), Placement::partial()});
            }),
            "a tensor that is cut(0) cannot become partial");
}

}  // namespace
}  // namespace titan::parallel
