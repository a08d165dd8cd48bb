#include "titan/autograd/dispatch_mode.h"

#include <ATen/ops/linear.h>
#include <ATen/ops/ones.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "titan/base/errors.h"

namespace titan::autograd {
namespace {

using ::testing::Contains;
using ::testing::IsEmpty;
using ::testing::Not;

class RecordingMode : public DispatchMode {
 public:
  void call(const c10::OperatorHandle& op, torch::jit::Stack*,
            const std::function<void()>& compute) override {
    names.push_back(op.operator_name().name);
    compute();
  }
  std::vector<std::string> names;
};

TEST(DispatchMode, SeesWhatCompositeOperatorsAreMadeOf) {
  RecordingMode mode;
  const at::Tensor weight = at::ones({3, 2}).set_requires_grad(true);
  {
    const DispatchModeScope scope(mode);
    at::linear(at::ones({4, 2}), weight);
  }
  EXPECT_THAT(mode.names, Contains("aten::mm"));
  EXPECT_THAT(mode.names, Not(Contains("aten::linear")));
}

TEST(DispatchMode, EndsWithItsScopeAndStaysOnItsThread) {
  RecordingMode mode;
  {
    const DispatchModeScope scope(mode);
    std::thread([] { at::ones({2}).add(1); }).join();
  }
  at::ones({2}).add(1);
  EXPECT_THAT(mode.names, IsEmpty());
}

/// Answers every operator with its first argument.
class EchoMode : public DispatchMode {
 public:
  void call(const c10::OperatorHandle& op, torch::jit::Stack* stack,
            const std::function<void()>&) override {
    stack->resize(stack->size() - op.schema().arguments().size() + 1);
  }
};

TEST(DispatchMode, WhatTheInnerModeComputesPassesTheOuter) {
  RecordingMode outer;
  RecordingMode inner;
  const at::Tensor x = at::ones({2});
  const DispatchModeScope outer_scope(outer);
  {
    const DispatchModeScope inner_scope(inner);
    x.sin();
  }
  EchoMode echo;
  {
    const DispatchModeScope inner_scope(echo);
    EXPECT_TRUE(x.cos().is_alias_of(x)) << "the mode's answer counts, no kernel runs";
  }
  EXPECT_THAT(inner.names, ::testing::ElementsAre("aten::sin"));
  EXPECT_THAT(outer.names, ::testing::ElementsAre("aten::sin"));
}

/// Looks into composite kernels: `aten::norm` calls others.
class InsideMode : public RecordingMode {
 public:
  void call(const c10::OperatorHandle& op, torch::jit::Stack* stack,
            const std::function<void()>& compute) override {
    if (op.operator_name().name != "aten::sum") return RecordingMode::call(op, stack, compute);
    const InnerOperatorsScope inside(*this);
    RecordingMode::call(op, stack, compute);
  }
};

TEST(DispatchMode, SeesInsideAnOperatorWhereItLooks) {
  const at::Tensor x = at::ones({2, 2});
  RecordingMode inner;
  InsideMode looking;
  RecordingMode outer;
  const DispatchModeScope outer_scope(outer);
  const DispatchModeScope looking_scope(looking);
  const DispatchModeScope inner_scope(inner);
  x.sum();  // fills a result of its own
  x.sin();
  EXPECT_THAT(inner.names, ::testing::ElementsAre("aten::sum", "aten::sin"));
  EXPECT_THAT(looking.names, Contains("aten::sum"));
  EXPECT_THAT(looking.names, ::testing::SizeIs(::testing::Gt(2)));
  EXPECT_EQ(outer.names, looking.names);
  EXPECT_EQ(looking.names.back(), "aten::sin");
}

TEST(DispatchMode, OneThatIsNotActiveCannotLook) {
  RecordingMode mode;
  EXPECT_THROW(InnerOperatorsScope{mode}, InternalError);
}

}  // namespace
}  // namespace titan::autograd
