// FSDP's verbs, and units within units: the gradients of one process, however they come about.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <map>
#include <optional>

#include "support/local_ranks.h"
#include "titan/nn/init.h"
#include "titan/nn/linear.h"
#include "titan/parallel/checkpoint_forward.h"
#include "titan/parallel/fsdp.h"
#include "titan/parallel/layout.h"
#include "titan/parallel/selective_recompute.h"

namespace titan::parallel {
namespace {

using mesh::MeshDim;
using Gradients = std::map<std::string, at::Tensor>;

constexpr std::int64_t kWidth = 6;
constexpr std::int64_t kExperts = 3;
constexpr std::int64_t kRows = 16;  // of all ranks and microbatches

/// Mean of what every expert makes of x.
class Experts : public nn::Module {
 public:
  Experts()
      : weight_(
            add_parameter("weight", at::empty({kExperts, kWidth, kWidth},
                                              at::TensorOptions(at::kMeta).dtype(at::kDouble)))) {}
  const nn::Parameter& weight() const { return *weight_; }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {at::matmul(inputs.at(0).unsqueeze(0), weight_->tensor).tanh().mean(0)};
  }

 private:
  ParameterSlot& weight_;
};

class Block : public nn::Module {
 public:
  Block()
      : gate_(add_child("gate", std::make_unique<nn::Linear>(kWidth, kWidth, at::kDouble))),
        experts_(add_child("experts", std::make_unique<Experts>())) {}
  void init_weights(at::Generator generator) {
    nn::normal_(gate_->weight(), generator);
    nn::normal_(experts_->weight(), generator);
  }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    const at::Tensor& x = inputs.at(0);
    return {x + experts_->call(gate_->call(x).sin())};
  }

 private:
  nn::Linear* gate_;
  Experts* experts_;
};

class Model : public nn::Module {
 public:
  Model() : blocks_(add_child("blocks", std::make_unique<nn::ModuleList>())) {
    for (int i = 0; i < 3; ++i) list_.push_back(blocks_->append(std::make_unique<Block>()));
  }
  void init_weights() {
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(3);
    for (Block* block : list_) block->init_weights(generator);
  }
  const std::vector<Block*>& blocks() const { return list_; }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    at::Tensor x = inputs.at(0);
    for (Block* block : list_) x = block->call(x);
    return {x};
  }

 private:
  nn::ModuleList* blocks_;
  std::vector<Block*> list_;
};

/// The rows of one of `parts` equal parts.
at::Tensor rows(std::int64_t part, std::int64_t parts) {
  const at::Tensor all =
      at::randn({kRows, kWidth}, at::make_generator<at::CPUGeneratorImpl>(4), at::kDouble);
  return all.narrow(0, part * kRows / parts, kRows / parts);
}

at::Tensor loss_of(Model& model, const at::Tensor& x) { return model.call(x).square().sum(); }

Gradients full_gradients(const Model& model, const comm::RankContext& context) {
  Gradients result;
  for (const auto& [name, parameter] : model.named_parameters()) {
    result[name] = full_tensor(parameter->tensor.grad(), *parameter, context);
  }
  return result;
}

/// Of one process that sees all rows.
Gradients expected_gradients() {
  Model model;
  model.to_empty(at::kCPU);
  model.init_weights();
  loss_of(model, rows(0, 1)).backward();
  return full_gradients(model, comm::RankContext());
}

void expect_close(const Gradients& gradients) {
  static const Gradients expected = expected_gradients();
  ASSERT_EQ(gradients.size(), expected.size());
  for (const auto& [name, gradient] : expected) {
    EXPECT_TRUE(at::allclose(gradients.at(name), gradient, 1e-10, 1e-12))
        << name << " is off by " << (gradients.at(name) - gradient).abs().max().item<double>();
  }
}

struct Sharded {
  Model model;
  std::shared_ptr<Fsdp> fsdp;
};

UnitOptions over(const comm::RankContext& context, MeshDim dim) {
  UnitOptions options;
  options.shard = &context.group(dim);
  options.axis = axis_of(dim);
  return options;
}

/// Blocks over all ranks; with `experts_apart` their experts over the ranks of efsdp, columns first, and
/// the same on the ranks of ep.
void shard(Sharded& sharded, const comm::RankContext& context, bool experts_apart,
           const FsdpOptions& types = {}) {
  sharded.fsdp = Fsdp::create(sharded.model, types);
  for (Block* block : sharded.model.blocks()) {
    if (experts_apart) {
      UnitOptions options = over(context, MeshDim::kEfsdp);
      options.replicate = &context.group(MeshDim::kEp);
      options.cut_dim = 2;
      ASSERT_NE(sharded.fsdp->wrap({&block->submodule("experts")}, options), nullptr);
    }
    ASSERT_NE(sharded.fsdp->wrap({block}, over(context, MeshDim::kFsdp)), nullptr);
  }
  EXPECT_EQ(sharded.fsdp->wrap_root(over(context, MeshDim::kFsdp)), nullptr) << "nothing is left";
  sharded.model.to_empty(at::kCPU);
  sharded.model.init_weights();
}

TEST(FsdpUnits, AUnitWithinAUnitHasItsOwnRanksAndDimension) {
  for (const bool recomputed : {false, true}) {
    SCOPED_TRACE(recomputed ? "recomputed" : "kept");
    test::on_local_ranks({1, 4, 1, 1, 1, 2}, 4, [&](const comm::RankContext& context) {
      Sharded sharded;
      for (Block* block : sharded.model.blocks()) {
        if (!recomputed) continue;
        block->wrap_forward([](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
          return checkpoint_forward(forward, inputs, {});
        });
      }
      shard(sharded, context, /*experts_apart=*/true);
      EXPECT_EQ(
          sharded.model.blocks()[0]->submodule("experts").named_parameters()[0].tensor().sizes(),
          (at::IntArrayRef{kExperts, kWidth, kWidth / 2}));
      for (int step = 0; step < 2; ++step) {
        for (const auto& [name, parameter] : sharded.model.named_parameters()) {
          parameter->tensor.mutable_grad().reset();
        }
        loss_of(sharded.model, rows(context.rank, 4)).backward();
        expect_close(full_gradients(sharded.model, context));
      }
    });
  }
}

TEST(FsdpUnits, MicrobatchesMayRunForwardBeforeOneRunsBackward) {
  for (const bool experts_apart : {false, true}) {
    test::on_local_ranks({1, 4, 1, 1, 1, 2}, 4, [&](const comm::RankContext& context) {
      Sharded sharded;
      shard(sharded, context, experts_apart);
      const at::Tensor first = loss_of(sharded.model, rows(2 * context.rank, 8));
      const at::Tensor second = loss_of(sharded.model, rows(2 * context.rank + 1, 8));
      first.backward();
      second.backward();
      expect_close(full_gradients(sharded.model, context));
    });
  }
}

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

TEST(FsdpUnits, MicrobatchesMayShareOneBackward) {
  test::on_local_ranks({1, 2}, 2, [](const comm::RankContext& context) {
    Sharded sharded;
    shard(sharded, context, /*experts_apart=*/false);
    const at::Tensor first = loss_of(sharded.model, rows(2 * context.rank, 4));
    const at::Tensor second = loss_of(sharded.model, rows(2 * context.rank + 1, 4));
    (first + second).backward();
    expect_close(full_gradients(sharded.model, context));
  });
}

/// Every block runs forward again in backward, and stops when it may; with `by_operator` some results are kept.
void checkpoint_blocks(Model& model, bool by_operator) {
  CheckpointOptions options;
  options.early_stop = true;
  if (by_operator) {
    const auto policy = std::make_shared<OperatorSavePolicy>(default_save_policy());
    options.selective_modes = [policy] { return selective_modes(policy); };
  }
  for (Block* block : model.blocks()) {
    block->wrap_forward([options](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
      return checkpoint_forward(forward, inputs, options);
    });
  }
}

TEST(FsdpUnits, ARecomputationMayStopWithinAUnitWithinAUnit) {
  for (const bool by_operator : {false, true}) {
    SCOPED_TRACE(by_operator);
    test::on_local_ranks({1, 4, 1, 1, 1, 2}, 4, [&](const comm::RankContext& context) {
      Sharded sharded;
      checkpoint_blocks(sharded.model, by_operator);
      shard(sharded, context, /*experts_apart=*/true);
      for (int step = 0; step < 2; ++step) {
        for (const auto& [name, parameter] : sharded.model.named_parameters()) {
          parameter->tensor.mutable_grad().reset();
        }
        loss_of(sharded.model, rows(context.rank, 4)).backward();
        expect_close(full_gradients(sharded.model, context));
      }
    });
  }
}

/// One forward, one backward in turns, as a pipeline's stage does when it is warm.
TEST(FsdpUnits, ForwardsRunBetweenTheBackwardsOfOthers) {
  for (const bool stays : {false, true}) {
    SCOPED_TRACE(stays ? "gathered once" : "gathered for every pass");
    test::on_local_ranks({1, 4, 1, 1, 1, 2}, 4, [&](const comm::RankContext& context) {
      Sharded sharded;
      checkpoint_blocks(sharded.model, /*by_operator=*/true);
      shard(sharded, context, /*experts_apart=*/true);
      Fsdp& fsdp = *sharded.fsdp;
      if (stays) {
        fsdp.set_requires_gradient_sync(false);
        fsdp.set_reshard_after_backward(false);
        fsdp.unshard();
      }
      const auto forward = [&](int i) {
        return loss_of(sharded.model, rows(4 * context.rank + i, 16));
      };
      at::Tensor before = forward(0);
      for (int i = 1; i < 4; ++i) {
        const at::Tensor next = forward(i);
        before.backward();
        before = next;
      }
      before.backward();
      if (stays) {
        fsdp.reshard();
        fsdp.reduce_gradients();
      }
      expect_close(full_gradients(sharded.model, context));
    });
  }
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
