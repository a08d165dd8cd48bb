// When the sums of gradients are started, and who waits for them.
#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <barrier>

#include "rehearsal/llama_step.h"
#include "support/rehearsal/device.h"
#include "titan/nn/linear.h"
#include "titan/parallel/fsdp.h"
#include "titan/parallel/layout.h"

namespace titan::test::rehearsal {
namespace {

using mesh::MeshDim;

parallel::UnitOptions replicated_shards(const comm::RankContext& context) {
  parallel::UnitOptions options;
  options.shard = &context.group(MeshDim::kFsdp);
  options.axis = parallel::axis_of(MeshDim::kFsdp);
  options.replicate = &context.group(MeshDim::kDpReplicate);
  return options;
}

parallel::FsdpOptions of_device(const comm::RankContext& context) {
  parallel::FsdpOptions options;
  options.device = context.device;
  options.keeps_buffers = false;
  return options;
}

/// Layers one after the other, which note in a log when their backward begins.
class Layers : public nn::Module {
 public:
  explicit Layers(std::vector<std::string>& log) : log_(log) {
    for (int i = 0; i < 3; ++i) {
      layers_.push_back(
          add_child(std::to_string(i), std::make_unique<nn::Linear>(4, 4, at::kFloat)));
    }
  }
  const std::vector<nn::Linear*>& layers() const { return layers_; }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    at::Tensor x = inputs.at(0);
    for (std::size_t i = 0; i < layers_.size(); ++i) {
      x = layers_[i]->call(x).sin();
      x.register_hook(
          [this, i](const at::Tensor&) { log_.push_back("backward " + std::to_string(i)); });
    }
    return {x};
  }

 private:
  std::vector<nn::Linear*> layers_;
  std::vector<std::string>& log_;
};

/// Notes what is started.
class Log : public comm::CollectiveObserver {
 public:
  std::uint64_t started(const comm::CollectiveCall& call) override {
    if (call.operation != "all_gather") lines.emplace_back(call.operation);
    return 0;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }

  std::vector<std::string> lines;
};

TEST(Reductions, AnAllReduceIsStartedWithItsReduceScatterAndTheHostGoesOn) {
  std::array<Log, 4> logs;
  const Watched watched{
      [&](std::int64_t rank) { return &logs.at(static_cast<std::size_t>(rank)); }};
  on_devices(
      {2, 2}, 4,
      [&](const comm::RankContext& context) {
        std::vector<std::string>& log = logs.at(static_cast<std::size_t>(context.rank)).lines;
        Layers model(log);
        const auto fsdp = parallel::Fsdp::create(model, of_device(context));
        for (nn::Linear* layer : model.layers()) fsdp->wrap({layer}, replicated_shards(context));
        model.to_empty(context.device);
        const at::Tensor x = at::ones({2, 4}, at::TensorOptions().device(context.device));
        x.set_requires_grad(true);
        const at::Tensor loss = model.call(x).sum();
        const auto before = Machine::instance().synchronizations(context.device.index());
        loss.backward();
        EXPECT_EQ(Machine::instance().synchronizations(context.device.index()), before);
        EXPECT_THAT(log, ::testing::ElementsAre("backward 2", "reduce_scatter", "all_reduce",
                                                "backward 1", "reduce_scatter", "all_reduce",
                                                "backward 0", "reduce_scatter", "all_reduce"));
      },
      /*first_device=*/0, watched);
}

/// One rank computes on although the others have not come to its reduce-scatter.
TEST(Reductions, OnlyTheAllReduceWaitsForItsReduceScatter) {
  std::barrier together(4);
  on_devices({2, 2}, 4, [&](const comm::RankContext& context) {
    nn::Linear model(4, 4, at::kFloat);
    const auto fsdp = parallel::Fsdp::create(model, of_device(context));
    parallel::FsdpUnit& unit = *fsdp->wrap_root(replicated_shards(context));
    fsdp->set_requires_gradient_sync(false);
    model.to_empty(context.device);
    const auto rank = static_cast<double>(context.rank);
    const at::Tensor x = at::full({2, 4}, rank, at::TensorOptions().device(context.device));
    model.call(x).sum().backward();
    const c10::impl::VirtualGuardImpl guard(context.device.type());
    const c10::Stream computing = guard.getStream(context.device);
    together.arrive_and_wait();
    if (context.rank > 0) together.arrive_and_wait();
    ASSERT_TRUE(unit.start_reduce());
    ASSERT_TRUE(unit.can_reduce_ahead());
    unit.all_reduce_on(guard.getStreamFromGlobalPool(context.device));
    EXPECT_TRUE(guard.queryStream(computing));
    if (context.rank == 0) together.arrive_and_wait();
    unit.continue_reduce();
    unit.finish_reduce();
    const at::Tensor gradient = model.weight().tensor.grad();
    EXPECT_EQ(gradient.sizes(), (at::IntArrayRef{2, 4}));
    EXPECT_EQ(gradient.sum().item<double>(), 8 * 2 * (0 + 1 + 2 + 3));
  });
}

}  // namespace
}  // namespace titan::test::rehearsal
