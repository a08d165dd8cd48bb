#include "titan/parallel/memory_budget.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>
#include <torch/library.h>

#include <map>

#include "support/temporary_folder.h"
#include "titan/base/file_system.h"

namespace titan::parallel {
namespace {

using Counts = std::map<std::string, std::int64_t>;

struct Passes {
  std::vector<Counts> again;  // of each backward
  at::Tensor gradient;
};

/// Two passes forward and backward of a block under a budget, as one of so many alike.
Passes run(const nn::Module::Forward& block, double budget, std::int64_t blocks,
           Planning planning = {}) {
  Passes result;
  CheckpointOptions options;
  options.early_stop = true;
  const auto shared =
      std::make_shared<MemoryBudget>(budget, blocks, std::set<std::string>(), planning);
  options.selective_modes = shared->block("block", /*logs=*/false);
  options.report_recomputed = [&](const Counts& calls) { result.again.push_back(calls); };
  const at::Tensor x = at::arange(64.0, at::kFloat).view({8, 8}).div_(64).set_requires_grad(true);
  for (int pass = 0; pass < 2; ++pass) {
    checkpoint_forward(block, {{x}}, options)[0].sum().backward();
  }
  result.gradient = x.grad();
  return result;
}

constexpr std::int64_t kMany = 1'000'000;  // blocks: the budget is of all activations

/// A product, which costs most, and three functions. Of one size, three results are saved by autograd: the last function's
/// own is not.
nn::Tensors three_results(const nn::Inputs& inputs) {
  const at::Tensor& x = inputs.at(0);
  return {x.mm(x).sin().cos().sin()};
}

TEST(MemoryBudget, KeepsTheProductFirst) {
  const auto again = [](double budget) {
    Counts last;
    const Passes passes = run(three_results, budget, kMany);
    EXPECT_EQ(passes.again.size(), 2);
    for (Counts counts : passes.again) {
      counts.erase("aten::detach");
      if (!last.empty()) {
        EXPECT_EQ(counts, last) << "the plan is followed from the beginning";
      }
      last = counts;
    }
    return last;
  };
  EXPECT_EQ(again(0), (Counts{{"aten::mm", 1}, {"aten::sin", 1}, {"aten::cos", 1}}));
  EXPECT_EQ(again(0.3), again(0)) << "nothing is as small";
  EXPECT_EQ(again(0.4), (Counts{{"aten::sin", 1}, {"aten::cos", 1}}));
  EXPECT_EQ(again(0.7).size(), 1);
  EXPECT_FALSE(again(0.7).contains("aten::mm"));
}

/// Of the room's own, as those that round to few bits.
TORCH_LIBRARY_FRAGMENT(titan, library) {
  library.def("test_rounded(Tensor x) -> Tensor");
  library.impl("test_rounded", torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd,
                                               [](const at::Tensor& x) { return x.round(); }));
  library.impl("test_rounded",
               torch::dispatch(c10::DispatchKey::Autograd, torch::CppFunction::makeFallthrough()));
}

TEST(MemoryBudget, WhatIsCalledWithNoGroupIsNotSent) {
  static const auto rounded = c10::Dispatcher::singleton()
                                  .findSchemaOrThrow("titan::test_rounded", "")
                                  .typed<at::Tensor(const at::Tensor&)>();
  // Three results of one size are saved: of the product, of sin, and of the rounding.
  const auto block = [](const nn::Inputs& inputs) -> nn::Tensors {
    const at::Tensor product = inputs.at(0).mm(inputs.at(0));
    return {product.sin() * rounded.call(product)};
  };
  for (const Counts& again : run(block, 0.4, kMany).again) {
    EXPECT_FALSE(again.contains("aten::mm"));
    EXPECT_TRUE(again.contains("titan::test_rounded"));
  }
}

TEST(MemoryBudget, AnyBudgetHasTheSameGradients) {
  const at::Tensor expected = run(three_results, 0, kMany).gradient;
  for (const double budget : {0.3, 0.4, 0.7, 0.99}) {
    EXPECT_TRUE(run(three_results, budget, kMany).gradient.equal(expected)) << budget;
  }
}

TEST(MemoryBudget, OfOneBlockNothingIsToBeHad) {
  for (const Counts& again : run(three_results, 0.99, 1).again) {
    EXPECT_TRUE(again.contains("aten::mm"));
  }
}

TEST(MemoryBudget, WhatIsChangedLaterIsComputedAgain) {
  const auto block = [](const nn::Inputs& inputs) -> nn::Tensors {
    at::Tensor product = inputs.at(0).mm(inputs.at(0));
    product.mul_(2);  // the product as it was is no more
    return {product.sin().exp()};
  };
  const Passes all = run(block, 0.99, kMany);
  const Passes nothing = run(block, 0.0, kMany);
  for (const Counts& again : all.again) EXPECT_TRUE(again.contains("aten::mm"));
  EXPECT_TRUE(all.gradient.equal(nothing.gradient));
}

TEST(MemoryBudget, RandomNumbersAreDrawnAgainAllOfThem) {
  const auto block = [](const nn::Inputs& inputs) -> nn::Tensors {
    const at::Tensor& x = inputs.at(0);
    const at::Tensor once = (x * at::rand_like(x)).sin();
    return {(once * at::rand_like(x)).exp()};
  };
  const auto gradient = [&](double budget) {
    at::manual_seed(3);
    return run(block, budget, kMany).gradient;
  };
  const at::Tensor plain = gradient(0);
  for (const double budget : {0.3, 0.6, 0.95}) EXPECT_TRUE(gradient(budget).equal(plain)) << budget;
}

TEST(MemoryBudget, DrawsOnePictureOfBlocksThatAreAlike) {
  const test::TemporaryFolder folder;
  Planning planning;
  planning.rank = 3;
  planning.picture_folder = folder.path() + "/memory_budget_pareto";
  const auto budget = std::make_shared<MemoryBudget>(0.5, 4, std::set<std::string>(), planning);
  const at::Tensor x = at::randn({8, 8}).set_requires_grad(true);
  for (const char* name : {"layers.0", "layers.1"}) {
    CheckpointOptions options;
    options.selective_modes = budget->block(name, /*logs=*/false);
    checkpoint_forward(three_results, {{x}}, options)[0].sum().backward();
  }
  base::FileSystem& files = base::posix_file_system();
  const std::string prefix = planning.picture_folder + "/memory_budget_pareto_rank_3_";
  const std::string picture = base::read_whole_file(files, prefix + "0.svg", 1 << 20);
  EXPECT_NE(picture.find("MiB kept"), std::string::npos);
  EXPECT_NE(picture.find("Chosen"), std::string::npos);
  EXPECT_FALSE(files.exists(prefix + "1.svg"));
}

}  // namespace
}  // namespace titan::parallel
