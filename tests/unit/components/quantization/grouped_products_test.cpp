#include "titan/components/quantization/grouped_products.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>

#include "components/quantization/aligned_groups.h"
#include "components/quantization/emulated_operators.h"
#include "support/local_ranks.h"
#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

at::Tensor random(at::IntArrayRef sizes, std::uint64_t seed) {
  return at::randn(sizes, at::make_generator<at::CPUGeneratorImpl>(seed), at::kFloat);
}

at::Tensor counts() { return at::tensor({5, 0, 16, 1, 33, 0}, at::kLong); }
constexpr std::int64_t kRows = 55;

struct Results {
  at::Tensor y, of_rows, of_weights;
};

template <class Product>
Results through(const at::Tensor& rows, const at::Tensor& weights, const at::Tensor& gradient,
                const Product& product) {
  const at::Tensor x = rows.detach().clone().requires_grad_();
  const at::Tensor w = weights.detach().clone().requires_grad_();
  const at::Tensor y = product(x, w);
  y.backward(gradient.to(y.scalar_type()));
  return {y.detach().to(at::kFloat), x.grad(), w.grad()};
}

double distance(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>() / b.abs().max().item<double>();
}

TEST(AlignedGroups, EndAtMultiplesAndGiveTheRowsBack) {
  const AlignedGroups groups(counts(), kRows, 16, at::kCPU);
  EXPECT_TRUE(at::equal(groups.ends(), at::tensor({16, 16, 32, 48, 96, 96}, at::kInt)));
  const at::Tensor rows = random({kRows, 8}, 1);
  const at::Tensor aligned = groups.aligned(rows);
  EXPECT_EQ(aligned.size(0) % 16, 0);
  EXPECT_TRUE(at::equal(groups.unaligned(aligned), rows));
  EXPECT_TRUE(at::equal(aligned.narrow(0, 16, 16), rows.narrow(0, 5, 16)));
  EXPECT_EQ(aligned.narrow(0, 5, 11).abs().max().item<float>(), 0.0F);
  EXPECT_EQ(aligned.narrow(0, 96, aligned.size(0) - 96).abs().max().item<float>(), 0.0F);
}

/// What a GPU's kernel would be given for the gradient of weights, is what emulated products multiply.
TEST(AlignedGroups, ColumnsOfGroupsAreRoundedAsEmulated) {
  const AlignedGroups groups(counts(), kRows, 16, at::kCPU);
  const at::Tensor rows = random({kRows, 16}, 2);
  const GroupedColumns columns = cast_columns_by_group(groups.aligned(rows), groups);
  const at::Tensor left =
      columns.values.to(at::kFloat) / columns.scales.index_select(0, groups.group_of_rows());
  EXPECT_TRUE(at::equal(groups.unaligned(left), through_float8_by_group(rows, counts())));
  EXPECT_TRUE(columns.values.t().is_contiguous());
}

TEST(GroupedProducts, AreNearThoseInFullPrecision) {
  const at::Tensor rows = random({kRows, 64}, 1);
  const at::Tensor weights = random({6, 32, 64}, 2);
  const at::Tensor gradient = random({kRows, 32}, 3);
  at::Tensor y = random({kRows, 32}, 4);
  at::Tensor of_rows = random({kRows, 64}, 4);
  at::Tensor of_weights = at::zeros_like(weights);
  std::int64_t begin = 0;
  for (std::int64_t group = 0; group < 6; ++group) {
    const auto count = counts()[group].item<std::int64_t>();
    const at::Tensor x = rows.narrow(0, begin, count);
    const at::Tensor dy = gradient.narrow(0, begin, count);
    y.narrow(0, begin, count).copy_(x.mm(weights[group].t()));
    of_rows.narrow(0, begin, count).copy_(dy.mm(weights[group]));
    of_weights[group].copy_(dy.t().mm(x));
    begin += count;
  }
  const auto check = [&](const Results& results, const char* what) {
    EXPECT_LT(distance(results.y, y), 0.05) << what;
    EXPECT_GT(distance(results.y, y), 1e-3) << what;
    EXPECT_LT(distance(results.of_rows, of_rows), 0.05) << what;
    EXPECT_LT(distance(results.of_weights, of_weights), 0.05) << what;
    EXPECT_EQ(results.of_weights[1].abs().max().item<float>(), 0.0F)
        << what << ": a group of no row";
  };
  check(through(rows, weights, gradient,
                [](const auto& x, const auto& w) {
                  return float8_grouped_product(x, w, counts(), Float8Products::kEmulated);
                }),
        "float8");
  check(through(rows, weights, gradient,
                [](const auto& x, const auto& w) { return mx_grouped_product(x, w, counts()); }),
        "MXFP8");
}

/// Experts whose hidden features two ranks share: scales are those of the whole.
TEST(GroupedProducts, PartsOfExpertsHaveTheScalesOfTheWhole) {
  constexpr std::int64_t kRanks = 2;
  const at::Tensor rows = random({kRows, 32}, 1);
  const at::Tensor weights = random({6, 64, 32}, 2);
  // One rank's part has larger entries than the other's.
  const at::Tensor gradient =
      random({kRows, 64}, 3) * at::cat({at::ones({1, 32}), at::full({1, 32}, 7.0)}, 1);
  const auto product = [](const ExpertRanks& ranks) {
    return [ranks](const at::Tensor& x, const at::Tensor& w) {
      return float8_grouped_product(x, w, counts(), Float8Products::kEmulated, ranks);
    };
  };
  const Results out = through(rows, weights, gradient, product({}));
  const Results in = through(gradient, weights.transpose(1, 2).contiguous(), rows, product({}));
  std::array<Results, kRanks> outs;
  std::array<Results, kRanks> ins;
  test::on_local_ranks({1, 1, 1, kRanks}, kRanks, [&](const comm::RankContext& context) {
    const auto rank = static_cast<std::size_t>(context.rank);
    const at::Tensor part = weights.chunk(kRanks, 1)[rank];
    const at::Tensor hidden = gradient.chunk(kRanks, 1)[rank];
    comm::ProcessGroup& group = context.group(mesh::MeshDim::kTp);
    outs.at(rank) = through(rows, part, hidden, product({&group, 1}));
    ins.at(rank) = through(hidden, part.transpose(1, 2).contiguous(), rows, product({&group, 2}));
  });
  constexpr double kBFloat16 = 0.01;  // parts of sums are rounded before they are added
  EXPECT_TRUE(at::equal(at::cat({outs[0].y, outs[1].y}, 1), out.y));
  EXPECT_LT(distance(outs[0].of_rows + outs[1].of_rows, out.of_rows), kBFloat16);
  EXPECT_TRUE(at::equal(at::cat({outs[0].of_weights, outs[1].of_weights}, 1), out.of_weights));
  EXPECT_LT(distance(ins[0].y + ins[1].y, in.y), kBFloat16);
  EXPECT_TRUE(at::equal(at::cat({ins[0].of_rows, ins[1].of_rows}, 1), in.of_rows));
}

TEST(GroupedProducts, RefuseFeaturesThatAreNoWholeNumberOfBlocks) {
  EXPECT_THAT(test::message_of<ConfigError>([] {
                mx_grouped_product(at::ones({kRows, 48}), at::ones({6, 32, 48}), counts());
              }),
              testing::HasSubstr("32 x 48 features"));
  EXPECT_THAT(test::message_of<ConfigError>([] {
                float8_grouped_product(at::ones({kRows, 8}), at::ones({6, 16, 8}), counts(),
                                       Float8Products::kEmulated);
              }),
              testing::HasSubstr("not multiples of 16"));
}

}  // namespace
}  // namespace titan::components
