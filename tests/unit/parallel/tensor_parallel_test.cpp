#include "titan/parallel/tensor_parallel.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/silu.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <random>

#include "support/linear_with_bias.h"
#include "support/local_ranks.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/nn/embedding.h"
#include "titan/nn/linear.h"
#include "titan/nn/rms_norm.h"
#include "titan/parallel/layout.h"

namespace titan::parallel {
namespace {

using Kind = Placement::Kind;

/// Calls its children in turn, with silu between them, and is called with one tensor.
class Chain : public nn::Module {
 public:
  template <class Child>
  void append(std::unique_ptr<Child> child) {
    children_.push_back(add_child(std::to_string(children_.size()), std::move(child)));
  }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    at::Tensor x = inputs.at(0);
    for (nn::Module* child : children_) x = at::silu(child->call(x));
    return {x};
  }

 private:
  std::vector<nn::Module*> children_;
};

/// A chain of random modules over `[B, S, features]`, and a plan that fits.
class RandomModel {
 public:
  static constexpr std::int64_t kBatch = 2;

  RandomModel(std::uint64_t seed, std::int64_t ranks) : random_(seed), ranks_(ranks) {
    features_ = any_features();
    in_features_ = features_;
    for (int i = 0; i < 6; ++i) append_module(i);
    // What leaves the model is whole.
    add_linear("6", /*columns=*/false, Placement::whole());
  }

  /// On the meta device; alike every time.
  std::unique_ptr<Chain> build() const {
    auto model = std::make_unique<Chain>();
    for (const auto& append : parts_) append(*model);
    return model;
  }
  const TensorPlan& plan() const { return plan_; }
  std::vector<std::int64_t> input_sizes() const { return {kBatch, 2 * ranks_, in_features_}; }

 private:
  std::int64_t pick(std::int64_t count) {
    return std::uniform_int_distribution<std::int64_t>(0, count - 1)(random_);
  }
  std::int64_t any_features() { return 1 + pick(3 * ranks_); }
  bool even() const { return features_ % ranks_ == 0; }

  void append_module(int place) {
    const std::string name = std::to_string(place);
    const bool features_are_cut = at_.kind() == Kind::kCut && at_.dim() == 2;
    const std::int64_t kind = pick(4);
    if (kind == 0) {
      add_linear(name, /*columns=*/true, any_placement());
    } else if (kind == 1 || features_are_cut) {
      add_linear(name, /*columns=*/false, any_placement());
    } else if (kind == 2) {
      add_norm(name);
    } else {
      add_wrapped_norm(name);
    }
  }

  Placement any_placement() {
    const Placement all[] = {Placement::whole(), Placement::shared(), Placement::cut(1),
                             Placement::cut(2)};
    return all[pick(4)];
  }

  Placement any_of_tokens() { return pick(2) == 0 ? Placement::cut(1) : Placement::shared(); }

  void add_linear(const std::string& name, bool columns, Placement output) {
    // Features that do not divide cannot be gathered or exchanged by who does not know how many there are.
    const bool features_are_cut = at_ == Placement::cut(2);
    const bool tokens_are_cut = at_ == Placement::cut(1);
    if (columns && features_are_cut && !even()) columns = false;
    if (!columns && tokens_are_cut && !even()) columns = true;
    const std::int64_t in = features_;
    features_ = any_features();
    if (columns && output == Placement::cut(1) && !even()) output = Placement::shared();
    const bool has_bias = columns && features_ % 3 != 0;
    parts_.push_back([in, out = features_, has_bias](Chain& chain) {
      if (has_bias) {
        chain.append(std::make_unique<test::LinearWithBias>(in, out, at::kDouble));
      } else {
        chain.append(std::make_unique<nn::Linear>(in, out, at::kDouble));
      }
    });
    if (columns) {
      plan_.push_back({name, Colwise{.input = at_, .output = output}});
    } else {
      plan_.push_back({name, Rowwise{.input = at_, .output = output}});
    }
    at_ = output;
  }

  TensorStyle norm_style() const {
    if (at_.kind() == Kind::kCut) return SequenceParallel{};
    return NoParallel{at_};
  }

  void add_norm(const std::string& name) {
    parts_.push_back([features = features_](Chain& chain) {
      chain.append(std::make_unique<nn::RMSNorm>(features, 1e-5, at::kDouble));
    });
    plan_.push_back({name, norm_style()});
  }

  void add_wrapped_norm(const std::string& name) {
    parts_.push_back([features = features_](Chain& chain) {
      auto inner = std::make_unique<Chain>();
      inner->append(std::make_unique<nn::RMSNorm>(features, 1e-5, at::kDouble));
      chain.append(std::move(inner));
    });
    const Placement within = any_of_tokens();
    const Placement behind = any_of_tokens();
    plan_.push_back({name, PrepareInputOutput{{Move{at_, within}}, {Move{within, behind}}}});
    at_ = within;
    plan_.push_back({name + ".0", norm_style()});
    at_ = behind;
  }

  std::mt19937_64 random_;
  std::int64_t ranks_;
  std::int64_t features_ = 0;
  std::int64_t in_features_ = 0;
  Placement at_ = Placement::whole();
  std::vector<std::function<void(Chain&)>> parts_;
  TensorPlan plan_;
};

struct Outcome {
  at::Tensor output;
  at::Tensor input_gradient;
  std::map<std::string, at::Tensor> gradients;
};

Outcome run(const RandomModel& random, std::uint64_t seed, const comm::RankContext& context) {
  const auto model = random.build();
  apply_tensor_parallel(*model, random.plan(), context);
  model->to_empty(at::kCPU);
  std::vector<nn::Parameter*> parameters;
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  for (const auto& [name, parameter] : model->named_parameters()) {
    parameters.push_back(parameter);
    parameter->fill([&](const at::Tensor& full) {
      full.copy_(at::randn(full.sizes(), generator, at::kDouble));
    });
  }
  const at::Tensor input = at::randn(random.input_sizes(), generator, at::kDouble);
  Outcome outcome;
  const at::Tensor x = input.clone().requires_grad_();
  const at::Tensor output = model->call(x);
  outcome.output = output.detach();
  output.backward(at::randn(output.sizes(), generator, at::kDouble));
  outcome.input_gradient = x.grad();
  sum_partial_gradients(parameters, context);
  for (const auto& [name, parameter] : model->named_parameters()) {
    outcome.gradients[name] = full_tensor(parameter->tensor.grad(), *parameter, context);
  }
  return outcome;
}

TEST(TensorParallel, RandomPlansGiveTheUnshardedModel) {
  for (std::uint64_t seed = 1; seed <= 120; ++seed) {
    const std::int64_t ranks = 2 + static_cast<std::int64_t>(seed % 3);
    const RandomModel random(seed, ranks);
    const Outcome expected = run(random, seed, comm::RankContext());
    test::on_local_ranks({1, 1, 1, ranks}, ranks, [&](const comm::RankContext& context) {
      const Outcome actual = run(random, seed, context);
      EXPECT_TRUE(at::allclose(actual.output, expected.output)) << "seed " << seed;
      EXPECT_TRUE(at::allclose(actual.input_gradient, expected.input_gradient)) << "seed " << seed;
      for (const auto& [name, gradient] : expected.gradients) {
        EXPECT_TRUE(at::allclose(actual.gradients.at(name), gradient))
            << "seed " << seed << ", " << name;
      }
    });
    if (HasFailure()) break;
  }
}

TEST(TensorParallel, EmbeddingsAreCutByRowsOrColumns) {
  const at::Tensor ids =
      at::randint(7, {3, 4}, at::make_generator<at::CPUGeneratorImpl>(1), at::kLong);
  const auto look_up = [&](const TensorPlan& plan, const comm::RankContext& context) {
    Chain model;
    model.append(std::make_unique<nn::Embedding>(7, 5, at::kDouble));
    apply_tensor_parallel(model, plan, context);
    model.to_empty(at::kCPU);
    nn::Parameter& table = *model.named_parameters()[0].parameter;
    table.fill([](const at::Tensor& full) {
      full.copy_(at::randn(full.sizes(), at::make_generator<at::CPUGeneratorImpl>(2), at::kDouble));
    });
    const at::Tensor rows = model.call(ids);
    (rows * rows).sum().backward();
    return std::pair(rows.detach(), full_tensor(table.tensor.grad(), table, context));
  };
  const auto [rows, gradient] = look_up({}, comm::RankContext());
  test::on_local_ranks({1, 1, 1, 4}, 4, [&](const comm::RankContext& context) {
    for (const TensorPlan& plan :
         {TensorPlan{{"0", Rowwise{}}}, TensorPlan{{"0", Colwise{.output = Placement::whole()}}}}) {
      const auto [own_rows, own_gradient] = look_up(plan, context);
      EXPECT_TRUE(own_rows.equal(rows));
      EXPECT_TRUE(at::allclose(own_gradient, gradient));
    }
  });
}

TEST(TensorParallel, TiedWeightsAreCutOnce) {
  test::on_local_ranks({1, 1, 1, 2}, 2, [](const comm::RankContext& context) {
    const auto tied = [] {
      auto model = std::make_unique<Chain>();
      model->append(std::make_unique<nn::Embedding>(6, 4, at::kFloat));
      model->append(std::make_unique<nn::Linear>(4, 6, at::kFloat));
      model->submodule("1").tie_parameter("weight", model->submodule("0"), "weight");
      return model;
    };
    const auto model = tied();
    apply_tensor_parallel(*model, {{"0", Rowwise{}}, {"1", Colwise{}}}, context);
    EXPECT_EQ(model->named_parameters()[0].tensor().sizes(), at::IntArrayRef({3, 4}));
    const auto contradicting = tied();
    EXPECT_THAT(
        test::message_of<InternalError>([&] {
          apply_tensor_parallel(*contradicting, {{"0", Rowwise{}}, {"1", Rowwise{}}}, context);
        }),
        testing::HasSubstr("'1.weight', which another module shares, in two ways"));
  });
}

TEST(TensorParallel, PlansThatDoNotFitAreErrorsAtTheStart) {
  test::on_local_ranks({1, 1, 1, 2}, 2, [](const comm::RankContext& context) {
    const auto error_of = [&](const TensorPlan& plan) {
      Chain model;
      model.append(std::make_unique<nn::Linear>(4, 4, at::kFloat));
      model.append(std::make_unique<nn::RMSNorm>(4, 1e-5, at::kFloat));
      return test::message_of<InternalError>([&] { apply_tensor_parallel(model, plan, context); });
    };
    using testing::HasSubstr;
    const TensorPlanLine norm = {"1", SequenceParallel{}};
    EXPECT_THAT(error_of({{"0", Colwise{}}, norm, {"2", Rowwise{}}}),
                HasSubstr("no module fits '2', a line of the tensor-parallel plan"));
    EXPECT_THAT(error_of({{"0", Colwise{}}}), HasSubstr("says no style for '1'"));
    EXPECT_THAT(error_of({{"*", Rowwise{}}}), HasSubstr("makes '1' Rowwise, which is no linear"));
    EXPECT_THAT(test::message_of<InternalError>([&] {
                  Chain model;
                  model.append(std::make_unique<test::LinearWithBias>(4, 4, at::kFloat));
                  apply_tensor_parallel(model, {{"0", Rowwise{}}}, context);
                }),
                HasSubstr("makes '0' Rowwise, which has a bias: it would be added on every rank"));
    EXPECT_THAT(error_of({{"0", Colwise{}}, {"*", SequenceParallel{}}}),
                HasSubstr("two lines of the tensor-parallel plan fit '0'"));
    EXPECT_THAT(error_of({{"0", Colwise{.output = Placement::partial()}}, norm}),
                HasSubstr("a tensor that is cut(-1) cannot become partial"));
    EXPECT_THAT(error_of({{"0", NoParallel{Placement::cut(1)}}, norm}),
                HasSubstr("NoParallel on a tensor that is cut(1)"));
  });
}

TEST(TensorParallel, WithoutRanksNothingIsDone) {
  Chain model;
  model.append(std::make_unique<nn::Linear>(4, 4, at::kFloat));
  apply_tensor_parallel(model, {{"0", Colwise{}}}, comm::RankContext());
  EXPECT_TRUE(model.named_parameters()[0].parameter->cuts.empty());
}

}  // namespace
}  // namespace titan::parallel
