#include "titan/parallel/activation_checkpoint.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "titan/autograd/saved_tensor_hooks.h"
#include "titan/autograd/split_backward.h"
#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/nn/fast_path.h"

namespace titan::parallel {
namespace {

using config::ActivationCheckpointMode;

std::unique_ptr<models::llama3::Transformer> small_llama() {
  models::llama3::TransformerModelArgs args;
  args.dim = 32;
  args.n_layers = 4;
  args.n_heads = 4;
  args.n_kv_heads = 2;
  args.vocabulary = 64;
  args.multiple_of = 16;
  args.max_seq_len = 32;
  auto model = std::make_unique<models::llama3::Transformer>(args, at::kFloat);
  model->to_empty(at::kCPU);
  const c10::NoGradGuard no_grad;
  model->init_weights(at::make_generator<at::CPUGeneratorImpl>(7), std::nullopt);
  return model;
}

at::Tensor tokens() {
  return at::randint(64, {2, 32}, at::make_generator<at::CPUGeneratorImpl>(3), at::kLong);
}

config::ActivationCheckpoint mode(ActivationCheckpointMode mode, std::string option = "2") {
  config::ActivationCheckpoint config;
  config.mode = mode;
  config.selective_ac_option = std::move(option);
  return config;
}

/// Bytes of distinct storages that autograd holds between forward and backward.
class SavedBytes {
 public:
  std::size_t total() const {
    std::size_t sum = 0;
    for (const auto& [storage, bytes] : *bytes_) sum += bytes;
    return sum;
  }
  std::unique_ptr<autograd::SavedTensorHooks> token() { return std::make_unique<Token>(bytes_); }

 private:
  using Storages = std::map<const void*, std::size_t>;
  struct Token : autograd::SavedTensorHooks {
    explicit Token(std::shared_ptr<Storages> all) : bytes(std::move(all)) {}
    void call_pack_hook(const at::Tensor& tensor) override {
      kept = tensor.detach();
      (*bytes)[kept.storage().unsafeGetStorageImpl()] = kept.storage().nbytes();
    }
    at::Tensor call_unpack_hook() override { return kept; }
    std::shared_ptr<Storages> bytes;
    at::Tensor kept;
  };
  std::shared_ptr<Storages> bytes_ = std::make_shared<Storages>();
};

struct Outcome {
  at::Tensor loss;
  std::vector<at::Tensor> gradients;
};

Outcome train_once(nn::Module& model) {
  Outcome run;
  run.loss = model.call(tokens()).square().mean();
  run.loss.backward();
  for (const nn::NamedParameter& parameter : model.named_parameters()) {
    run.gradients.push_back(parameter.tensor().grad());
  }
  return run;
}

struct Case {
  const char* name;
  config::ActivationCheckpoint config;
};

config::ActivationCheckpoint early_stopping() {
  auto config = mode(ActivationCheckpointMode::kFull);
  config.early_stop = true;
  return config;
}

config::ActivationCheckpoint budget(double share) {
  auto config = mode(ActivationCheckpointMode::kMemoryBudget);
  config.memory_budget = share;
  return config;
}

class EveryMode : public ::testing::TestWithParam<Case> {};

TEST_P(EveryMode, GivesTheBitsOfAPlainRun) {
  const auto plain = small_llama();
  const auto checkpointed = small_llama();
  apply_ac(*checkpointed, "layers.*", GetParam().config, default_save_policy());
  const Outcome expected = train_once(*plain);
  const Outcome actual = train_once(*checkpointed);
  EXPECT_TRUE(at::equal(actual.loss, expected.loss));
  ASSERT_EQ(actual.gradients.size(), expected.gradients.size());
  for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
    EXPECT_TRUE(at::equal(actual.gradients[i], expected.gradients[i])) << i;
  }
}

INSTANTIATE_TEST_SUITE_P(
    ActivationCheckpoint, EveryMode,
    ::testing::Values(Case{"full", mode(ActivationCheckpointMode::kFull)},
                      Case{"early_stop", early_stopping()},
                      Case{"every_second", mode(ActivationCheckpointMode::kSelective, "2")},
                      Case{"every", mode(ActivationCheckpointMode::kSelective, "0")},
                      Case{"op", mode(ActivationCheckpointMode::kSelective, "op")},
                      Case{"budget_0", budget(0)}, Case{"budget_20", budget(0.2)},
                      Case{"budget_50", budget(0.5)}, Case{"budget_80", budget(0.8)},
                      Case{"budget_100", budget(1)}),
    [](const auto& tested) { return std::string(tested.param.name); });

/// A dispatch mode that only counts.
class CountingMode : public autograd::DispatchMode {
 public:
  void call(const c10::OperatorHandle& op, torch::jit::Stack*,
            const std::function<void()>& compute) override {
    ++counts[op.operator_name().name];
    compute();
  }
  std::map<std::string, int> counts;
};

int matrix_products(const config::ActivationCheckpoint& config) {
  const auto model = small_llama();
  apply_ac(*model, "layers.*", config, default_save_policy());
  CountingMode counting;
  const at::Tensor loss = model->call(tokens()).square().mean();
  const autograd::DispatchModeScope scope(counting);
  loss.backward();
  return counting.counts["aten::mm"];
}

TEST(ActivationCheckpoint, PerOperatorModeRunsEverySecondProductAgain) {
  // A block has 7 linear layers, run as wq wk wv wo w1 w3 w2; the 1st, 3rd, 5th and 7th are kept.
  const int plain = matrix_products(mode(ActivationCheckpointMode::kNone));
  EXPECT_EQ(matrix_products(mode(ActivationCheckpointMode::kFull)) - plain, 4 * 7);
  EXPECT_EQ(matrix_products(mode(ActivationCheckpointMode::kSelective, "op")) - plain, 4 * 3);
  // With wq (and wo, of the same shape) always run again and not counted, of wk wv w1 w3 w2 two are
  // run again.
  auto config = mode(ActivationCheckpointMode::kSelective, "op");
  config.per_op_sac_force_recompute_mm_shapes_by_fqns = {"attention.wq"};
  EXPECT_EQ(matrix_products(config) - plain, 4 * (2 + 2));
}

TEST(ActivationCheckpoint, ProductsThatAreMadeTogetherAreKeptTogether) {
  const auto model = small_llama();
  for (const auto& [name, module] : model->named_modules()) {
    if (auto* const layer = dynamic_cast<nn::FastPath*>(module)) layer->take_fast_path();
  }
  apply_ac(*model, "layers.*", mode(ActivationCheckpointMode::kSelective, "op"),
           default_save_policy());
  CountingMode counting;
  const at::Tensor loss = model->call(tokens()).square().mean();
  const autograd::DispatchModeScope scope(counting);
  loss.backward();
  // Of wq wk wv two were kept one by one, of w1 w3, the 5th and the 6th, no more than one.
  EXPECT_EQ(counting.counts["titan_kernels::linear_products_of_one"], 4);
}

/// Products that are run again in the second of two steps: the first makes the plan.
int products_again(double share) {
  const auto model = small_llama();
  apply_ac(*model, "layers.*", budget(share), default_save_policy());
  model->call(tokens()).square().mean().backward();
  CountingMode counting;
  const at::Tensor loss = model->call(tokens()).square().mean();
  const autograd::DispatchModeScope scope(counting);
  loss.backward();
  return counting.counts["aten::mm"];
}

TEST(ActivationCheckpoint, ABudgetIsSpentOnProducts) {
  const int plain = matrix_products(mode(ActivationCheckpointMode::kNone));
  // What is behind the last tensor that autograd saves, w2, is never run again.
  EXPECT_EQ(products_again(0) - plain, 4 * 6);
  EXPECT_EQ(products_again(1), plain);
  int last = products_again(0);
  for (const double share : {0.2, 0.4, 0.6, 0.8}) {
    const int products = products_again(share);
    EXPECT_LE(products, last) << share;
    last = products;
  }
  EXPECT_EQ(last, plain) << "they are worth their memory before all else";
}

TEST(ActivationCheckpoint, HoldsLessBetweenForwardAndBackward) {
  const auto held = [](const config::ActivationCheckpoint& config) {
    const auto model = small_llama();
    apply_ac(*model, "layers.*", config, default_save_policy());
    // Tensors that a frame keeps do not pass the outer scope's hooks: what passes is what autograd
    // itself holds.
    SavedBytes saved;
    const autograd::SavedTensorHooksScope scope([&] { return saved.token(); });
    const at::Tensor loss = model->call(tokens()).square().mean();
    return saved.total();
  };
  const std::size_t none = held(mode(ActivationCheckpointMode::kNone));
  const std::size_t half = held(mode(ActivationCheckpointMode::kSelective, "2"));
  const std::size_t full = held(mode(ActivationCheckpointMode::kFull));
  EXPECT_LT(half, none * 3 / 4);
  EXPECT_LT(full, none / 4);
}

config::ActivationCheckpoint early_stopping_by_operator() {
  auto config = mode(ActivationCheckpointMode::kSelective, "op");
  config.early_stop = true;
  return config;
}

TEST(ActivationCheckpoint, ASecondBackwardThroughTheSameGraphRunsForwardAgain) {
  for (const auto& config :
       {mode(ActivationCheckpointMode::kFull), mode(ActivationCheckpointMode::kSelective, "op"),
        early_stopping_by_operator(), budget(0.5)}) {
    const auto model = small_llama();
    apply_ac(*model, "layers.*", config, default_save_policy());
    const at::Tensor loss = model->call(tokens()).square().mean();
    loss.backward({}, /*retain_graph=*/true);
    std::vector<at::Tensor> once;
    for (const nn::NamedParameter& parameter : model->named_parameters()) {
      once.push_back(parameter.tensor().grad().clone());
    }
    loss.backward();
    for (std::size_t i = 0; i < once.size(); ++i) {
      const nn::NamedParameter parameter = model->named_parameters()[i];
      EXPECT_TRUE(at::equal(parameter.tensor().grad(), once[i] + once[i])) << parameter.name;
    }
  }
}

TEST(ActivationCheckpoint, WithoutGradientsNothingIsKept) {
  const auto model = small_llama();
  apply_ac(*model, "layers.*", mode(ActivationCheckpointMode::kFull), default_save_policy());
  const c10::NoGradGuard no_grad;
  EXPECT_FALSE(model->call(tokens()).requires_grad());
}

TEST(ActivationCheckpoint, RefusesWhatIsNoOptionOrNoLinearLayer) {
  const auto model = small_llama();
  auto config = mode(ActivationCheckpointMode::kSelective, "x");
  EXPECT_THROW(apply_ac(*model, "layers.*", config, default_save_policy()), ConfigError);
  config = mode(ActivationCheckpointMode::kSelective, "op");
  config.per_op_sac_force_recompute_mm_shapes_by_fqns = {"attention_norm"};
  EXPECT_THROW(apply_ac(*model, "layers.*", config, default_save_policy()), ConfigError);
}

void checkpoint(nn::Module& module) {
  module.wrap_forward([](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
    return checkpoint_forward(forward, inputs, {});
  });
}

TEST(ActivationCheckpoint, AModuleThatChangesItsMindIsCaught) {
  class Fickle : public nn::Module {
   protected:
    nn::Tensors forward(const nn::Inputs& inputs) override {
      return {++calls_ == 1 ? inputs.at(0).sin() : inputs.at(0).slice(0, 0, 1).sin()};
    }
    int calls_ = 0;
  };
  Fickle module;
  checkpoint(module);
  const at::Tensor x = at::ones({4}).set_requires_grad(true);
  EXPECT_THROW(module.call(x).sum().backward(), InternalError);
}

TEST(ActivationCheckpoint, HalvesOfABackwardRunForwardAgainOnce) {
  for (const auto& config : {mode(ActivationCheckpointMode::kFull),
                             mode(ActivationCheckpointMode::kSelective, "op"), budget(0.5)}) {
    const auto whole = small_llama();
    const auto split = small_llama();
    int runs = 0;
    autograd::let_weights_wait(*split);
    split->submodule("layers.0.attention").add_pre_forward_hook([&](nn::Module&, nn::Inputs&) {
      ++runs;
    });
    apply_ac(*split, "layers.*", config, default_save_policy());
    whole->call(tokens()).square().mean().backward();
    autograd::SplitBackward backward;
    at::Tensor loss;
    {
      const autograd::SplitBackward::ForwardScope scope(backward);
      loss = split->call(tokens()).square().mean();
    }
    std::vector<at::Tensor> parameters;
    for (const nn::NamedParameter& named : split->named_parameters()) {
      parameters.push_back(named.tensor());
    }
    backward.backward_inputs(loss, {}, {}, parameters);
    EXPECT_EQ(runs, 2);
    backward.backward_weights();
    EXPECT_EQ(runs, 2) << "what the weights' half needs was kept";
    const auto expected = whole->named_parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      EXPECT_TRUE(parameters[i].grad().equal(expected[i].tensor().grad())) << expected[i].name;
    }
  }
}

/// Draws a random mask in every forward and can be told to fail when run again.
class Dropping : public nn::Module {
 public:
  bool fails_when_run_again = false;

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    if (++calls_ > 1 && fails_when_run_again) throw RunError("told to fail");
    const at::Tensor mask = at::rand(inputs.at(0).sizes());
    return {(inputs.at(0) * mask).sin()};
  }

 private:
  int calls_ = 0;
};

TEST(ActivationCheckpoint, RunAgainDrawsTheSameRandomNumbersAndDisturbsNone) {
  const auto gradient = [](bool checkpointed) {
    at::manual_seed(5);
    Dropping module;
    if (checkpointed) checkpoint(module);
    const at::Tensor x = at::ones({8}).set_requires_grad(true);
    module.call(x).sum().backward();
    return std::pair{x.grad(), at::rand({4})};
  };
  const auto [plain, next_after_plain] = gradient(false);
  const auto [actual, next] = gradient(true);
  EXPECT_TRUE(at::equal(actual, plain));
  EXPECT_TRUE(at::equal(next, next_after_plain));
}

TEST(ActivationCheckpoint, AfterAFailureInBackwardThisThreadIsAsBefore) {
  at::manual_seed(5);
  Dropping module;
  checkpoint(module);
  module.fails_when_run_again = true;
  const at::Tensor x = at::ones({8}).set_requires_grad(true);
  const at::Tensor sum = module.call(x).sum();
  const at::Tensor state = at::globalContext().defaultGenerator(at::kCPU).get_state();
  EXPECT_THROW(sum.backward(), RunError);
  EXPECT_TRUE(at::equal(at::globalContext().defaultGenerator(at::kCPU).get_state(), state));
  // No hook of the failed run is left: this would throw InternalError.
  const at::Tensor y = at::ones({3}).set_requires_grad(true);
  y.sin().sum().backward();
  EXPECT_TRUE(at::equal(y.grad(), y.detach().cos()));
}

TEST(ActivationCheckpoint, ThreadsDoNotDisturbEachOther) {
  const auto plain = small_llama();
  const Outcome expected = train_once(*plain);
  std::vector<Outcome> outcomes(3);
  std::vector<std::thread> threads;
  for (Outcome& outcome : outcomes) {
    threads.emplace_back([&outcome] {
      const auto model = small_llama();
      apply_ac(*model, "layers.*", early_stopping_by_operator(), default_save_policy());
      outcome = train_once(*model);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const Outcome& outcome : outcomes) {
    ASSERT_EQ(outcome.gradients.size(), expected.gradients.size());
    for (std::size_t i = 0; i < expected.gradients.size(); ++i) {
      EXPECT_TRUE(at::equal(outcome.gradients[i], expected.gradients[i])) << i;
    }
  }
}

}  // namespace
}  // namespace titan::parallel
