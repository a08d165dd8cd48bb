// FSDP's verbs: the gradients of one process, however they come about.
#include <ATen/ops/allclose.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <optional>

#include "support/local_ranks.h"
#include "support/memory_ranks.h"
#include "unit/parallel/sharded_blocks.h"

namespace titan::parallel {
namespace {

using namespace sharded_blocks;

/// What a pipeline's stage does: gathered once, gradients kept whole, summed once.
TEST(FsdpUnits, AStageKeepsItsParametersAndSumsOnce) {
  test::on_local_ranks({1, 2}, 2, [](const comm::RankContext& context) {
    Sharded sharded;
    shard(sharded, context, /*experts_apart=*/false);
    Fsdp& fsdp = *sharded.fsdp;
    fsdp.set_requires_gradient_sync(false);
    fsdp.set_reshard_after_backward(false);
    fsdp.unshard();
    std::vector<at::Tensor> losses;
    for (int i = 0; i < 4; ++i)
      losses.push_back(loss_of(sharded.model, rows(4 * context.rank + i, 8)));
    for (at::Tensor& loss : losses) loss.backward();
    fsdp.reshard();
    for (const auto& [name, parameter] : sharded.model.named_parameters()) {
      EXPECT_FALSE(parameter->tensor.grad().defined()) << name << " was summed already";
    }
    fsdp.reduce_gradients();
    expect_close(full_gradients(sharded.model, context));
    // And the next step may be an ordinary one.
    for (const auto& [name, parameter] : sharded.model.named_parameters()) {
      parameter->tensor.mutable_grad().reset();
    }
    fsdp.set_requires_gradient_sync(true);
    fsdp.set_reshard_after_backward(true);
    loss_of(sharded.model, rows(context.rank, 2)).backward();
    expect_close(full_gradients(sharded.model, context));
  });
}

/// Two ranks hold as much, of four the last has nothing of a matrix with six lines.
TEST(FsdpUnits, RanksThatShareMemoryHaveTheSameBits) {
  for (const std::int64_t ranks : {2, 4}) {
    std::vector<Gradients> expected(static_cast<std::size_t>(ranks));
    const auto train = [](const comm::RankContext& context) {
      Sharded sharded;
      shard(sharded, context, /*experts_apart=*/false);
      for (int i = 0; i < 3; ++i) loss_of(sharded.model, rows(context.rank + i, 8)).backward();
      return full_gradients(sharded.model, context);
    };
    test::on_local_ranks({1, ranks}, ranks, [&](const comm::RankContext& context) {
      expected[static_cast<std::size_t>(context.rank)] = train(context);
    });
    test::on_memory_ranks({1, ranks}, ranks, [&](const comm::RankContext& context) {
      ASSERT_TRUE(context.group(MeshDim::kFsdp).shares_memory());
      for (const auto& [name, gradient] : train(context)) {
        EXPECT_TRUE(gradient.equal(expected[static_cast<std::size_t>(context.rank)].at(name)))
            << name;
      }
    });
  }
}

/// Gradients of 64 microbatches computed in bfloat16, each summed over the ranks in fp32, or all kept and
/// summed at the end.
Gradients of_many_microbatches(std::optional<at::ScalarType> kept_in) {
  Gradients result;
  test::on_local_ranks({1, 2}, 2, [&](const comm::RankContext& context) {
    FsdpOptions options;
    options.types = {at::kBFloat16, kept_in.value_or(at::kFloat)};
    Sharded sharded;
    shard(sharded, context, /*experts_apart=*/false, options);
    sharded.fsdp->set_requires_gradient_sync(!kept_in.has_value());
    for (int i = 0; i < 64; ++i) loss_of(sharded.model, rows(context.rank, 2)).backward();
    sharded.fsdp->reduce_gradients();
    const Gradients gradients = full_gradients(sharded.model, context);
    if (context.rank == 0) result = gradients;
  });
  return result;
}

double worst_error(const Gradients& gradients, const Gradients& expected) {
  double worst = 0;
  for (const auto& [name, gradient] : expected) {
    const at::Tensor error = (gradients.at(name) - gradient).norm() / gradient.norm();
    worst = std::max(worst, error.item<double>());
  }
  return worst;
}

TEST(FsdpUnits, GradientsThatWaitAreKeptInTheReduceType) {
  const Gradients expected = of_many_microbatches(std::nullopt);
  EXPECT_LT(worst_error(of_many_microbatches(at::kFloat), expected), 1e-5);
  EXPECT_GT(worst_error(of_many_microbatches(at::kBFloat16), expected), 1e-3)
      << "the test sees what 64 additions of 8 bits lose";
}

/// Two layers that run one after the other as one, as a norm and the head behind it.
class TwoLayers : public nn::Module {
 public:
  TwoLayers()
      : first_(add_child("first", std::make_unique<nn::Linear>(kWidth, kWidth, at::kDouble))),
        second_(add_child("second", std::make_unique<nn::Linear>(kWidth, kWidth, at::kDouble))) {}
  void init_weights() {
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(3);
    nn::normal_(first_->weight(), generator);
    nn::normal_(second_->weight(), generator);
  }
  bool calls_first = true;
  bool calls_second = true;

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    at::Tensor x = inputs.at(0);
    if (calls_first) x = first_->call(x);
    return {calls_second ? second_->call(x) : x};
  }

 private:
  nn::Linear* first_;
  nn::Linear* second_;
};

TEST(FsdpUnits, AUnitGivesItsGradientsOneAfterTheOther) {
  const auto gradients = [](TwoLayers& model, const comm::RankContext& context) {
    const at::Tensor x = rows(context.rank, context.world_size).clone().set_requires_grad(true);
    model.calls_second = false;
    const at::Tensor y = model.call(x);
    std::swap(model.calls_first, model.calls_second);
    model.call(y).square().sum().backward();
    Gradients result;
    for (const auto& [name, parameter] : model.named_parameters()) {
      result[name] = full_tensor(parameter->tensor.grad(), *parameter, context);
    }
    return result;
  };
  TwoLayers alone;
  alone.to_empty(at::kCPU);
  alone.init_weights();
  const Gradients expected = gradients(alone, comm::RankContext());
  test::on_local_ranks({1, 2}, 2, [&](const comm::RankContext& context) {
    TwoLayers model;
    const auto fsdp = Fsdp::create(model, {});
    fsdp->wrap_root(over(context, MeshDim::kFsdp));
    model.to_empty(at::kCPU);
    model.init_weights();
    const Gradients summed = gradients(model, context);
    for (const auto& [name, gradient] : expected) {
      EXPECT_TRUE(at::allclose(summed.at(name), gradient)) << name;
    }
  });
}

TEST(FsdpUnits, AParameterMayHaveNoElements) {
  test::on_local_ranks({1, 2}, 2, [](const comm::RankContext& context) {
    nn::Linear model(0, 3, at::kFloat);
    const auto fsdp = Fsdp::create(model, {});
    fsdp->wrap_root(over(context, MeshDim::kFsdp));
    model.to_empty(at::kCPU);
    const at::Tensor x = at::empty({2, 0}, at::kFloat);
    EXPECT_EQ(model.call(x).sizes(), (at::IntArrayRef{2, 3}));
    model.call(x).sum().backward();
    EXPECT_EQ(model.weight().tensor.grad().sizes(), model.weight().tensor.sizes());
  });
}

TEST(FsdpUnits, ModulesOfOtherStagesAreLeftOutOfAUnit) {
  for (const char* absent : {"first", "second"}) {
    SCOPED_TRACE(absent);
    test::on_local_ranks({1, 2}, 2, [&](const comm::RankContext& context) {
      TwoLayers model;
      model.submodule(absent).leave_to_other_stage();
      const auto fsdp = Fsdp::create(model, {});
      fsdp->wrap({&model.submodule("first"), &model.submodule("second")},
                 over(context, MeshDim::kFsdp));
      EXPECT_EQ(fsdp->wrap_root(over(context, MeshDim::kFsdp)), nullptr);
      model.to_empty(at::kCPU);
      model.init_weights();
      model.call(rows(context.rank, 2)).sum().backward();
      const nn::NamedParameter here = model.named_parameters().at(0);
      ASSERT_TRUE(here.tensor().grad().defined());
      EXPECT_TRUE(at::allclose(full_tensor(here.tensor().grad(), *here.parameter, context),
                               rows(0, 1).sum(0, /*keepdim=*/true).expand({kWidth, kWidth})));
    });
  }
}

TEST(FsdpUnits, PrefetchListsReplaceTheModelsOrder) {
  test::on_local_ranks({1, 2}, 2, [](const comm::RankContext& context) {
    Sharded sharded;
    sharded.fsdp = Fsdp::create(sharded.model, {});
    std::vector<FsdpUnit*> units;
    for (Block* block : sharded.model.blocks()) {
      units.push_back(sharded.fsdp->wrap({block}, over(context, MeshDim::kFsdp)));
    }
    units[0]->set_forward_prefetch({units[1], units[2]});
    units[1]->set_forward_prefetch({});
    units[2]->set_backward_prefetch({units[1], units[0]});
    sharded.model.to_empty(at::kCPU);
    sharded.model.init_weights();
    const at::Tensor loss = loss_of(sharded.model, rows(context.rank, 2));
    const std::int64_t forward = sharded.fsdp->take_peak_unsharded_bytes();
    loss.backward();
    expect_close(full_gradients(sharded.model, context));
    units[0]->unshard();
    const std::int64_t unit = units[0]->unsharded_bytes();
    units[0]->reshard();
    EXPECT_EQ(units[0]->unsharded_bytes(), 0);
    EXPECT_EQ(forward, 3 * unit);
    EXPECT_EQ(sharded.fsdp->take_peak_unsharded_bytes(), 3 * unit);
  });
}

}  // namespace
}  // namespace titan::parallel
