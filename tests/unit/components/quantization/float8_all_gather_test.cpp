#include "titan/components/quantization/float8_all_gather.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/collective_counter.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/float8_linear.h"
#include "titan/nn/init.h"
#include "titan/nn/linear.h"
#include "titan/parallel/fsdp.h"
#include "titan/parallel/layout.h"

namespace titan::components {
namespace {

using mesh::MeshDim;

constexpr std::int64_t kIn = 32;
constexpr std::int64_t kOut = 48;

/// Two linear layers, of which the first is in float8.
class Layers : public nn::Module {
 public:
  Layers()
      : first_(add_child("first", std::make_unique<nn::Linear>(kIn, kOut, at::kFloat))),
        second_(add_child("second", std::make_unique<nn::Linear>(kOut, kIn, at::kFloat))) {}
  nn::Linear& first() { return *first_; }
  void init_weights() {
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(3);
    nn::normal_(first_->weight(), generator);
    nn::normal_(second_->weight(), generator);
  }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {second_->call(first_->call(inputs.at(0)).sin())};
  }

 private:
  nn::Linear* first_;
  nn::Linear* second_;
};

/// Calls `body(layers, all-gather, counter)` on ranks of FSDP, with float32 parameters.
template <class Body>
void sharded(std::int64_t ranks, const Body& body) {
  test::on_counted_ranks(
      {.dp_shard = ranks}, ranks,
      [&](const comm::RankContext& context, test::CollectiveCounter& counter) {
        Layers layers;
        const auto gather = std::make_shared<Float8AllGather>(context.groups);
        gather->add(layers.first().weight());
        layers.first().wrap_forward([&linear = layers.first(), gather](const nn::Module::Forward&,
                                                                       const nn::Inputs& inputs) {
          Float8LinearOptions options;
          options.weight_values = gather->gathered(linear.weight());
          return nn::Tensors{float8_linear(inputs.at(0), linear.weight().tensor, options)};
        });
        const auto fsdp = parallel::Fsdp::create(layers, {});
        fsdp->wrap_root({&context.group(MeshDim::kFsdp), parallel::axis_of(MeshDim::kFsdp)});
        ASSERT_TRUE(fsdp->extend(gather));
        layers.to_empty(at::kCPU);
        {
          const c10::NoGradGuard no_grad;
          layers.init_weights();
        }
        body(layers, *gather, counter);
      });
}

at::Tensor rows() {
  return at::randn({16, kIn}, at::make_generator<at::CPUGeneratorImpl>(4), at::kFloat);
}

TEST(Float8AllGather, SendsAByteForAnEntryAndComputesAsTheWholeDoes) {
  Layers whole;
  whole.to_empty(at::kCPU);
  {
    const c10::NoGradGuard no_grad;
    whole.init_weights();
  }
  whole.first().wrap_forward(
      [&linear = whole.first()](const nn::Module::Forward&, const nn::Inputs& inputs) {
        return nn::Tensors{float8_linear(inputs.at(0), linear.weight().tensor, {})};
      });
  const at::Tensor expected = whole.call(rows());
  expected.sum().backward();
  const at::Tensor gradient = whole.first().weight().tensor.grad();

  for (const std::int64_t ranks : {2, 5}) {  // 48 rows over 5 ranks: 10, 10, 10, 10, 8
    sharded(ranks, [&](Layers& layers, Float8AllGather&, test::CollectiveCounter& counter) {
      const at::Tensor y = layers.call(rows());
      EXPECT_TRUE(at::equal(y, expected));
      const auto rows_of_a_rank = [&](std::int64_t rows) { return (rows + ranks - 1) / ranks; };
      EXPECT_EQ(counter.calls("all_gather"), 1);
      EXPECT_EQ(counter.bytes("all_gather"),
                rows_of_a_rank(kOut) * kIn + 4 * rows_of_a_rank(kIn) * kOut);
      (y.sum() / ranks).backward();
      const nn::Parameter& weight = layers.first().weight();
      const at::Tensor own = weight.tensor.grad();
      const nn::TensorBox box = weight.box();
      EXPECT_LT((own - gradient.narrow(0, box.offsets[0], own.size(0))).abs().max().item<double>(),
                1e-6 * gradient.abs().max().item<double>());
    });
  }
}

TEST(Float8AllGather, MakesScalesOnceForAllWhenWeightsHaveChanged) {
  sharded(2, [&](Layers& layers, Float8AllGather& gather, test::CollectiveCounter& counter) {
    const auto run = [&] { layers.call(rows()).sum().backward(); };
    run();
    run();
    EXPECT_EQ(counter.calls("all_reduce"), 1) << "the scale of weights that have not changed";

    const nn::Parameter& weight = layers.first().weight();
    const auto change = [&](double factor) {
      const c10::NoGradGuard no_grad;
      weight.tensor.detach().mul_(factor);
    };
    const float before = gather.gathered(weight)->scale.item<float>();
    change(2.0);
    gather.compute_scales();
    EXPECT_EQ(counter.calls("all_reduce"), 2);
    run();
    EXPECT_EQ(counter.calls("all_reduce"), 2);
    EXPECT_EQ(gather.gathered(weight)->scale.item<float>(), before / 2);

    change(2.0);
    gather.forget_scales();
    EXPECT_EQ(counter.calls("all_reduce"), 2);
    run();
    EXPECT_EQ(counter.calls("all_reduce"), 3);
    EXPECT_EQ(gather.gathered(weight)->scale.item<float>(), before / 4);
  });
}

}  // namespace
}  // namespace titan::components
