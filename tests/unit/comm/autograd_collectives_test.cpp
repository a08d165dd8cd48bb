#include "titan/comm/autograd_collectives.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include "support/local_ranks.h"

namespace titan::comm {
namespace {

constexpr std::int64_t kRanks = 3;

/// The same numbers on every rank.
at::Tensor numbers(std::vector<std::int64_t> sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kDouble);
}

void on_ranks(const std::function<void(std::int64_t, ProcessGroup&)>& body) {
  test::on_local_ranks({1, kRanks}, kRanks, [&](const RankContext& context) {
    body(context.rank, context.groups->world());
  });
}

TEST(AutogradCollectives, AGatheredTensorGivesEachPartTheGradientOfAllRanks) {
  for (const std::int64_t dim : {0, 1}) {
    const at::Tensor whole = numbers({6, 6}, 1).requires_grad_();
    // Every rank weighs the gathered tensor differently; the loss is the sum over the ranks.
    at::Tensor loss = (whole * numbers({6, 6}, 10)).sum();
    for (int rank = 1; rank < kRanks; ++rank) {
      loss = loss + (whole * numbers({6, 6}, 10 + rank)).sum();
    }
    loss.backward();
    on_ranks([&](std::int64_t rank, ProcessGroup& group) {
      const at::Tensor part = whole.detach().chunk(kRanks, dim)[rank].clone().requires_grad_();
      const at::Tensor gathered = all_gather(part, dim, group);
      EXPECT_TRUE(gathered.equal(whole.detach()));
      (gathered * numbers({6, 6}, 10 + rank)).sum().backward();
      EXPECT_TRUE(at::allclose(part.grad(), whole.grad().chunk(kRanks, dim)[rank]));
    });
  }
}

TEST(AutogradCollectives, AScatteredSumGivesEveryTermTheWholeGradient) {
  const at::Tensor weights = numbers({4, 6}, 2);
  on_ranks([&](std::int64_t rank, ProcessGroup& group) {
    const at::Tensor term = numbers({4, 6}, 20 + rank).requires_grad_();
    const at::Tensor part = reduce_scatter(term, 1, group);
    at::Tensor sum = numbers({4, 6}, 20);
    for (int r = 1; r < kRanks; ++r) sum = sum + numbers({4, 6}, 20 + r);
    EXPECT_TRUE(at::allclose(part, sum.chunk(kRanks, 1)[rank]));
    (part * weights.chunk(kRanks, 1)[rank]).sum().backward();
    EXPECT_TRUE(term.grad().equal(weights));
  });
}

TEST(AutogradCollectives, SumsInForwardAndInBackwardMirrorEachOther) {
  on_ranks([&](std::int64_t rank, ProcessGroup& group) {
    const at::Tensor x = numbers({5}, 3).requires_grad_();
    const double weight = static_cast<double>(rank) + 1;
    // The same x everywhere, other work on each rank, one sum: its gradient is that of all the work.
    const at::Tensor total = all_reduce(sum_gradients(x, group) * weight, group);
    EXPECT_TRUE(at::allclose(total, x.detach() * 6));
    (total * 2).sum().backward();
    EXPECT_TRUE(at::allclose(x.grad(), at::Tensor(x.detach() * 0 + 12)));
  });
}

TEST(AutogradCollectives, RowsFindTheirWayBack) {
  on_ranks([&](std::int64_t rank, ProcessGroup& group) {
    // Rank r sends r + 1 rows to each rank.
    const std::vector<std::int64_t> sent(kRanks, rank + 1);
    const std::vector<std::int64_t> received = {1, 2, 3};
    const at::Tensor rows = numbers({kRanks * (rank + 1), 2}, 30 + rank).requires_grad_();
    const at::Tensor output = all_to_all(rows, received, sent, group);
    ASSERT_EQ(output.size(0), 6);
    (output * output).sum().backward();
    EXPECT_TRUE(at::allclose(rows.grad(), 2 * rows.detach()));
  });
}

}  // namespace
}  // namespace titan::comm
