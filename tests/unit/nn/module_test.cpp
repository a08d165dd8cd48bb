#include "titan/nn/module.h"

#include <ATen/TensorOperators.h>
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
  at::Tensor& weight() { return weight_.tensor; }

 protected:
  Tensors forward(const Tensors& inputs) override { return {inputs.at(0) + weight_.tensor}; }

 private:
  Parameter& weight_;
};

class Pair : public Module {
 public:
  explicit Pair(const at::Tensor& shared)
      : first(add_child("first", std::make_unique<Shift>(shared))),
        second(add_child("second", std::make_unique<Shift>(shared))),
        table(add_buffer("table", at::ones({2}), /*persistent=*/false)) {}
  Shift* first;
  Shift* second;
  at::Tensor& table;

 protected:
  Tensors forward(const Tensors& inputs) override {
    return {second->call(first->call(inputs.at(0)))};
  }
};

std::vector<std::string> names(const std::vector<NamedTensor>& tensors) {
  std::vector<std::string> result;
  for (const NamedTensor& tensor : tensors) result.push_back(tensor.name);
  return result;
}

TEST(Module, RunsHooksAndWrappersAroundForwardInOrder) {
  Shift module(at::ones({1}));
  std::vector<std::string> order;
  module.add_pre_forward_hook([&](Module&, Tensors& inputs) {
    order.push_back("pre");
    inputs[0] = inputs[0] * 10;
  });
  module.wrap_forward([&](const Module::Forward& forward, const Tensors& inputs) {
    order.push_back("inner");
    return forward(inputs);
  });
  module.wrap_forward([&](const Module::Forward& forward, const Tensors& inputs) {
    order.push_back("outer");
    return forward(inputs);
  });
  module.add_post_forward_hook([&](Module&, const Tensors&, Tensors& outputs) {
    order.push_back("post");
    outputs[0] = outputs[0] + 0.5;
  });
  EXPECT_FLOAT_EQ(module.call(at::ones({1})).item<float>(), 11.5F);
  EXPECT_THAT(order, ElementsAre("pre", "outer", "inner", "post"));
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
