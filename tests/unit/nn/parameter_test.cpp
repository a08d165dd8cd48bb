#include "titan/nn/parameter.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/base/errors.h"
#include "titan/nn/init.h"

namespace titan::nn {
namespace {

using ::testing::ElementsAre;
using Sizes = std::vector<std::int64_t>;

Parameter on_meta(const Sizes& sizes) {
  return Parameter(at::empty(sizes, at::TensorOptions(at::kMeta)));
}

/// A parameter with memory, after these cuts.
Parameter cut_parameter(const Sizes& sizes, const std::vector<Cut>& cuts) {
  Parameter parameter = on_meta(sizes);
  for (const Cut& cut : cuts) parameter.cut(cut);
  parameter.tensor = at::empty(parameter.tensor.sizes());
  return parameter;
}

TEST(Parameter, CutsNestAsTorchChunkCuts) {
  // 10 rows in halves of 5, the second of them in four: 2, 2, 1, 0.
  for (const auto& [index, offset, length] :
       {std::tuple{0, 5, 2}, std::tuple{1, 7, 2}, std::tuple{2, 9, 1}, std::tuple{3, 10, 0}}) {
    Parameter parameter = on_meta({10, 3});
    parameter.cut({/*axis=*/7, 0, 2, 1});
    parameter.cut({/*axis=*/4, 0, 4, index});
    EXPECT_EQ(parameter.box().full_sizes, (Sizes{10, 3}));
    EXPECT_EQ(parameter.box().offsets, (Sizes{offset, 0}));
    EXPECT_EQ(parameter.tensor.sizes().vec(), (Sizes{length, 3}));
    EXPECT_EQ(parameter.sizes_after(1), (Sizes{5, 3}));
  }
}

TEST(Parameter, CutsOfSeveralDimensionsAreABox) {
  Parameter parameter = on_meta({4, 6, 5});
  parameter.cut({0, 0, 2, 1});
  parameter.cut({1, 2, 3, 2});
  EXPECT_EQ(parameter.box().offsets, (Sizes{2, 0, 4}));
  EXPECT_EQ(parameter.tensor.sizes().vec(), (Sizes{2, 6, 1}));
}

TEST(Parameter, AWrongCutIsABug) {
  Parameter parameter = on_meta({4});
  EXPECT_THROW(parameter.cut({0, 1, 2, 0}), InternalError);
  EXPECT_THROW(parameter.cut({0, 0, 2, 2}), InternalError);
}

TEST(Parameter, InitialValuesDoNotDependOnTheCuts) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const Parameter whole = cut_parameter({7, 4}, {});
  normal_(whole, generator);
  for (int row = 0; row < 3; ++row) {
    for (int column = 0; column < 2; ++column) {
      generator.set_current_seed(5);
      const Parameter part = cut_parameter({7, 4}, {{0, 0, 3, row}, {1, 1, 2, column}});
      normal_(part, generator);
      const TensorBox box = part.box();
      EXPECT_TRUE(part.tensor.equal(whole.tensor.narrow(0, box.offsets[0], part.tensor.size(0))
                                        .narrow(1, box.offsets[1], part.tensor.size(1))));
    }
  }
}

TEST(Parameter, OneOfAnotherStageTakesItsRandomNumbersAlong) {
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const Parameter first = cut_parameter({7, 4}, {});
  const Parameter second = cut_parameter({3}, {});
  normal_(first, generator);
  trunc_normal_(second, 0.02, generator);
  const at::Tensor expected = second.tensor.clone();

  generator.set_current_seed(5);
  Parameter absent = on_meta({7, 4});
  absent.here = false;
  normal_(absent, generator);
  trunc_normal_(second, 0.02, generator);
  EXPECT_TRUE(second.tensor.equal(expected));
  EXPECT_TRUE(absent.tensor.is_meta());
}

}  // namespace
}  // namespace titan::nn
