#include "titan/nn/module.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/base/errors.h"
#include "titan/nn/linear.h"

namespace titan::nn {
namespace {

using ::testing::ElementsAre;

/// Adds its weight to its input.
class Shift : public Module {
 public:
  explicit Shift(at::Tensor weight) : weight_(add_parameter("weight", std::move(weight))) {}
  at::Tensor& weight() { return weight_->tensor; }

 protected:
  Tensors forward(const Inputs& inputs) override { return {inputs.at(0) + weight_->tensor}; }

 private:
  ParameterSlot& weight_;
};

class Pair : public Module {
 public:
  explicit Pair(const at::Tensor& shared)
      : first(add_child("first", std::make_unique<Shift>(shared))),
        second(add_child("second", std::make_unique<Shift>(shared))),
        table(add_buffer("table", at::ones({2}), /*persistent=*/false)) {
    second->tie_parameter("weight", *first, "weight");
  }
  Shift* first;
  Shift* second;
  at::Tensor& table;

 protected:
  Tensors forward(const Inputs& inputs) override {
    return {second->call(first->call(inputs.at(0)))};
  }
};

template <class Named>
std::vector<std::string> names(const std::vector<Named>& all) {
  std::vector<std::string> result;
  for (const Named& named : all) result.push_back(named.name);
  return result;
}

TEST(Module, LayersAreAnOnionWhoseOutermostIsAppliedLast) {
  Shift module(at::ones({1}));
  std::vector<std::string> order;
  const auto layer = [&](const std::string& name) {
    return [&order, name](const Module::Forward& forward, const Inputs& inputs) {
      order.push_back(name + " in");
      Tensors outputs = forward(inputs);
      order.push_back(name + " out");
      return outputs;
    };
  };
  module.wrap_forward(layer("inner"));
  module.add_pre_forward_hook([&](Module&, Inputs& inputs) {
    order.push_back("pre");
    inputs.tensors[0] = inputs.at(0) * 10;
  });
  module.add_post_forward_hook([&](Module&, const Inputs& inputs, Tensors& outputs) {
    order.push_back("post");
    EXPECT_EQ(inputs.at(0).item<float>(), 1) << "what this layer was given";
    outputs[0] = outputs[0] + 0.5;
  });
  module.wrap_forward(layer("outer"));
  EXPECT_FLOAT_EQ(module.call(at::ones({1})).item<float>(), 11.5F);
  EXPECT_THAT(order, ElementsAre("outer in", "pre", "inner in", "inner out", "post", "outer out"));
}

TEST(Module, LeftToAnotherStageItPassesItsInputAndKeepsItsNames) {
  Pair pair(at::ones({3}, at::TensorOptions().device(at::kMeta)));
  pair.leave_to_other_stage();
  pair.to_empty(at::kCPU);
  EXPECT_TRUE(pair.first->weight().is_meta());
  EXPECT_THAT(names(pair.named_parameters()), ::testing::IsEmpty());
  EXPECT_THAT(names(pair.parameter_names()), ElementsAre("first.weight", "second.weight"));
  const at::Tensor input = at::ones({3});
  EXPECT_TRUE(pair.call(input).is_same(input));
}

class Counting : public Linear {
 public:
  Counting() : Linear(2, 2, at::kFloat) {
    add_buffer("count", at::empty({2}, at::TensorOptions(at::kMeta)), /*persistent=*/true);
  }
};

TEST(Module, BuffersOfAnotherStageKeepTheirNamesOnly) {
  ModuleList list;
  list.append(std::make_unique<Counting>());
  list.append(std::make_unique<Counting>())->leave_to_other_stage();
  list.to_empty(at::kCPU);
  EXPECT_THAT(names(list.named_buffers()), ElementsAre("0.count"));
  const std::vector<NamedTensor> saved = list.persistent_buffers();
  ASSERT_THAT(names(saved), ElementsAre("0.count", "1.count"));
  EXPECT_TRUE(saved[0].here);
  EXPECT_FALSE(saved[1].here);
}

TEST(Module, ListsATiedParameterOnceUnderItsFirstName) {
  Pair pair(at::ones({3}));
  EXPECT_THAT(names(pair.named_parameters()), ElementsAre("first.weight"));
  EXPECT_THAT(names(pair.named_buffers()), ElementsAre("table"));
}

TEST(Module, ToEmptyKeepsTiedParametersTiedAndTrainable) {
  Pair pair(at::ones({3}, at::TensorOptions().device(at::kMeta)));
  pair.to_empty(at::kCPU);
  EXPECT_TRUE(pair.first->weight().is_same(pair.second->weight()));
  EXPECT_TRUE(pair.first->weight().requires_grad());
  EXPECT_TRUE(pair.first->weight().is_cpu());
  EXPECT_TRUE(pair.table.is_cpu());
}

TEST(Module, FindsSubmodulesByPath) {
  Pair pair(at::ones({3}));
  EXPECT_EQ(&pair.submodule("second"), pair.second);
  EXPECT_EQ(&pair.submodule(""), &pair);
  EXPECT_THROW(pair.submodule("second.third"), InternalError);
}

TEST(Module, AListOfModulesNamesThemByNumberAndIsNotCallable) {
  ModuleList list;
  list.append(std::make_unique<Linear>(2, 3, at::kFloat));
  list.append(std::make_unique<Linear>(3, 4, at::kFloat));
  EXPECT_THAT(names(list.named_parameters()), ElementsAre("0.weight", "1.weight"));
  EXPECT_THROW(list.call(at::ones({1, 2})), InternalError);
}

}  // namespace
}  // namespace titan::nn
