#include "titan/components/quantization/float8_input_gather.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "support/collective_counter.h"
#include "titan/components/quantization/float8_linear.h"
#include "titan/nn/feed_forward.h"
#include "titan/nn/linear.h"
#include "titan/parallel/tensor_parallel.h"

namespace titan::components {
namespace {

constexpr std::int64_t kRanks = 2;
constexpr std::int64_t kTokens = 8;
constexpr std::int64_t kDim = 32;

class Model : public nn::Module {
 public:
  Model()
      : feed_forward_(
            add_child("feed_forward", std::make_unique<nn::FeedForward>(kDim, 64, at::kFloat))) {}
  nn::FeedForward& feed_forward() { return *feed_forward_; }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {feed_forward_->call(inputs.at(0))};
  }

 private:
  nn::FeedForward* feed_forward_;
};

const parallel::TensorPlan& plan() {
  using namespace parallel;
  constexpr Placement tokens = Placement::cut(1);
  static const TensorPlan plan = {
      {"feed_forward", PrepareInput{{Move{tokens, Placement::shared()}}, /*feeds=*/{"w1", "w3"}}},
      {"feed_forward.w1", Colwise{}},
      {"feed_forward.w3", Colwise{}},
      {"feed_forward.w2", Rowwise{.output = tokens}},
  };
  return plan;
}

struct Results {
  std::vector<at::Tensor> tensors;  // output, gradients of input and weights
  std::int64_t gathered_bytes;
};

/// Of one rank of tensor parallelism whose layers multiply in float8.
Results of_rank(const comm::RankContext& context, test::CollectiveCounter& counter,
                bool gathers_in_float8) {
  Model model;
  const auto gather = std::make_shared<Float8InputGather>();
  for (const auto& [name, module] : model.feed_forward().named_children()) {
    if (name != "w2") gather->add(*module);
    auto& linear = static_cast<nn::Linear&>(*module);
    module->wrap_forward([&linear, gather](const nn::Module::Forward&, const nn::Inputs& inputs) {
      Float8LinearOptions options;
      options.x_values = gather->gathered(inputs.at(0));
      return nn::Tensors{float8_linear(inputs.at(0), linear.weight().tensor, options)};
    });
  }
  {
    const parallel::LinearExtensionScope scope(gathers_in_float8 ? gather : nullptr);
    parallel::apply_tensor_parallel(model, plan(), context);
  }
  model.to_empty(at::kCPU);
  {
    const c10::NoGradGuard no_grad;
    model.feed_forward().init_weights(0.02, at::make_generator<at::CPUGeneratorImpl>(3));
  }
  at::Tensor x =
      at::randn({2, kTokens, kDim}, at::make_generator<at::CPUGeneratorImpl>(4), at::kFloat)
          .chunk(kRanks, 1)[static_cast<std::size_t>(context.rank)]
          .contiguous()
          .requires_grad_();
  counter.reset();
  const at::Tensor y = model.call(x);
  y.sin().sum().backward();
  Results results{{y.detach(), x.grad()}, counter.bytes("all_gather")};
  for (const auto& [name, parameter] : model.named_parameters()) {
    results.tensors.push_back(parameter->tensor.grad());
  }
  return results;
}

TEST(Float8InputGather, SendsAByteForAnEntryAndChangesNoBit) {
  test::on_counted_ranks({.tp = kRanks}, kRanks,
                         [](const comm::RankContext& context, test::CollectiveCounter& counter) {
                           const Results whole = of_rank(context, counter, false);
                           const Results bytes = of_rank(context, counter, true);
                           ASSERT_EQ(whole.tensors.size(), 5);
                           for (std::size_t i = 0; i < whole.tensors.size(); ++i) {
                             EXPECT_TRUE(at::equal(bytes.tensors[i], whole.tensors[i])) << i;
                           }
                           const std::int64_t part = 2 * kTokens / kRanks * kDim;
                           // The other all-gather is that of the output's gradient.
                           EXPECT_EQ(whole.gathered_bytes, (4 + 4) * part);
                           EXPECT_EQ(bytes.gathered_bytes, (1 + 4) * part);
                         });
}

}  // namespace
}  // namespace titan::components
