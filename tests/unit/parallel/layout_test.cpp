// Parameters that two axes have cut: what each rank holds, the whole of it, and norms over all.
#include "titan/parallel/layout.h"

#include <ATen/ops/allclose.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/local_ranks.h"
#include "titan/parallel/clip_grad_norm.h"

namespace titan::parallel {
namespace {

using mesh::MeshDim;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

/// A tensor whose dimensions two axes of a job have cut, the first outside.
struct TwoAxes {
  const char* name;
  std::vector<std::int64_t> sizes;
  mesh::Degrees degrees;
  std::int64_t ranks;
  std::pair<MeshDim, std::int64_t> first;  // axis, dimension
  std::pair<MeshDim, std::int64_t> second;
};

const TwoAxes kCases[] = {
    {"rows x rows", {10, 3}, {1, 4, 1, 2}, 8, {MeshDim::kTp, 0}, {MeshDim::kFsdp, 0}},
    {"rows x rows, fewer than ranks",
     {3, 2},
     {1, 2, 1, 4},
     8,
     {MeshDim::kTp, 0},
     {MeshDim::kFsdp, 0}},
    {"rows x columns", {5, 4}, {1, 3, 1, 2}, 6, {MeshDim::kTp, 1}, {MeshDim::kFsdp, 0}},
    {"experts x rows", {4, 5, 3}, {1, 4, 1, 1, 1, 2}, 4, {MeshDim::kEp, 0}, {MeshDim::kEfsdp, 1}},
    {"experts x experts",
     {6, 2, 2},
     {1, 4, 1, 1, 1, 2},
     4,
     {MeshDim::kEp, 0},
     {MeshDim::kEfsdp, 0}},
};

class LayoutOfTwoAxes : public ::testing::TestWithParam<TwoAxes> {
 protected:
  static at::Tensor whole() {
    const auto& sizes = GetParam().sizes;
    return at::arange(c10::multiply_integers(sizes), at::kFloat).view(sizes) + 1;
  }

  /// This rank's part of `whole()`.
  static nn::Parameter part(const comm::RankContext& context) {
    nn::Parameter parameter(at::empty(GetParam().sizes, at::TensorOptions(at::kMeta)));
    for (const auto& [axis, dim] : {GetParam().first, GetParam().second}) {
      parameter.cut({axis_of(axis), dim, context.dims.size(axis),
                     context.dims.coordinate(axis, context.rank)});
    }
    parameter.tensor = at::empty(parameter.tensor.sizes());
    parameter.fill([](const at::Tensor& full) { full.copy_(whole()); });
    parameter.tensor.set_requires_grad(true);
    return parameter;
  }

  static void on_ranks(const std::function<void(const comm::RankContext&)>& body) {
    test::on_local_ranks(GetParam().degrees, GetParam().ranks, body);
  }
};

TEST_P(LayoutOfTwoAxes, TheWholeIsThatOfOneRank) {
  on_ranks([](const comm::RankContext& context) {
    const nn::Parameter parameter = part(context);
    EXPECT_TRUE(full_tensor(parameter.tensor, parameter, context).equal(whole()));
    EXPECT_THAT(cut_over(parameter), ElementsAre(GetParam().first.first, GetParam().second.first));
  });
}

TEST_P(LayoutOfTwoAxes, TheNormIsThatOfOneRank) {
  const float expected = at::linalg_vector_norm(whole() * 2, 2.0).item<float>();
  on_ranks([&](const comm::RankContext& context) {
    nn::Parameter parameter = part(context);
    parameter.tensor.mutable_grad() = parameter.tensor.detach() * 2;
    EXPECT_FLOAT_EQ(total_grad_norm({&parameter}, context).item<float>(), expected);
  });
}

TEST_P(LayoutOfTwoAxes, ARankWithoutAGradientTakesPartInTheNorm) {
  std::vector<float> norms(static_cast<std::size_t>(GetParam().ranks));
  on_ranks([&](const comm::RankContext& context) {
    nn::Parameter parameter = part(context);
    if (context.rank != 1) parameter.tensor.mutable_grad() = parameter.tensor.detach() * 2;
    norms[static_cast<std::size_t>(context.rank)] =
        total_grad_norm({&parameter}, context).item<float>();
  });
  EXPECT_THAT(norms, testing::Each(norms.front()));
  EXPECT_GT(norms.front(), 0);
}

INSTANTIATE_TEST_SUITE_P(Layout, LayoutOfTwoAxes, ::testing::ValuesIn(kCases),
                         [](const auto& test) {
                           std::string name = test.param.name;
                           std::erase_if(name, [](unsigned char c) { return !std::isalnum(c); });
                           return name;
                         });

TEST(Layout, NormsOfParametersOnDifferentAxesAddUpInTheirOrder) {
  test::on_local_ranks({1, 2, 1, 2}, 4, [](const comm::RankContext& context) {
    const auto cut = [&](std::int64_t size, std::vector<MeshDim> axes) {
      nn::Parameter parameter(at::empty({size}, at::TensorOptions(at::kMeta)));
      for (const MeshDim axis : axes) {
        parameter.cut({axis_of(axis), 0, context.dims.size(axis),
                       context.dims.coordinate(axis, context.rank)});
      }
      parameter.tensor = at::full(parameter.tensor.sizes(), 1.0).set_requires_grad(true);
      parameter.tensor.mutable_grad() = at::full(parameter.tensor.sizes(), 1.0);
      return parameter;
    };
    nn::Parameter whole = cut(9, {});
    nn::Parameter both = cut(7, {MeshDim::kTp, MeshDim::kFsdp});
    nn::Parameter sharded = cut(20, {MeshDim::kFsdp});
    EXPECT_FLOAT_EQ(total_grad_norm({&both, &whole, &sharded}, context).item<float>(), 6);
  });
}

TEST(Layout, StagesPutTheirNormsTogetherEvenWithoutParameters) {
  test::on_local_ranks({1, 1, 1, 1, 3}, 3, [](const comm::RankContext& context) {
    nn::Parameter parameter(at::full({16}, 1.0).set_requires_grad(true));
    parameter.tensor.mutable_grad() = at::full({16}, 1.0);
    const Parameters mine = context.rank == 1 ? Parameters{} : Parameters{&parameter};
    EXPECT_FLOAT_EQ(total_grad_norm(mine, context).item<float>(), std::sqrt(32.0F));
  });
}

TEST(Layout, GradientsInPartsAreSummedOnce) {
  test::on_local_ranks({1, 2, 1, 2}, 4, [](const comm::RankContext& context) {
    nn::Parameter norm(at::full({4}, 1.0).set_requires_grad(true));
    norm.partial_over = {axis_of(MeshDim::kTp)};
    nn::Parameter silent = norm;  // one whose input had no token here
    silent.tensor = at::full({2}, 1.0).set_requires_grad(true);
    nn::Parameter other(at::full({4}, 1.0).set_requires_grad(true));
    const auto tp = static_cast<double>(context.group(MeshDim::kTp).rank());
    norm.tensor.mutable_grad() = at::full({4}, 1 + tp);
    if (tp == 1) silent.tensor.mutable_grad() = at::full({2}, 5.0);
    other.tensor.mutable_grad() = at::full({4}, 7.0);
    sum_partial_gradients({&norm, &other, &silent}, context);
    EXPECT_TRUE(norm.tensor.grad().equal(at::full({4}, 3.0)));
    EXPECT_TRUE(silent.tensor.grad().equal(at::full({2}, 5.0)));
    EXPECT_TRUE(other.tensor.grad().equal(at::full({4}, 7.0)));
  });
}

TEST(Layout, AGradientIsSummedWhereDataOrPartsAreSpread) {
  const mesh::ParallelDims dims({2, 2, 2, 2, 1, 4}, 16);
  nn::Parameter dense(at::full({4}, 1.0));
  EXPECT_THAT(summed_over(dense, dims), ElementsAre(MeshDim::kFsdp, MeshDim::kDpReplicate));
  dense.partial_over = {axis_of(MeshDim::kTp)};
  EXPECT_THAT(summed_over(dense, dims),
              ElementsAre(MeshDim::kFsdp, MeshDim::kDpReplicate, MeshDim::kTp));
  nn::Parameter expert(at::full({4}, 1.0));
  expert.cut({axis_of(MeshDim::kEp), 0, 4, 1});
  EXPECT_THAT(summed_over(expert, dims), ElementsAre(MeshDim::kEfsdp, MeshDim::kDpReplicate));
  EXPECT_THAT(summed_over(dense, mesh::ParallelDims({}, 1)), IsEmpty());
}

}  // namespace
}  // namespace titan::parallel
