#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/randint.h>
#include <gtest/gtest.h>

#include <map>
#include <mutex>

#include "support/local_ranks.h"
#include "titan/nn/init.h"
#include "titan/nn/linear.h"
#include "titan/parallel/ddp.h"
#include "titan/parallel/fsdp.h"
#include "titan/parallel/layout.h"

namespace titan::parallel {
namespace {

constexpr std::int64_t kVocabulary = 10;
constexpr std::int64_t kWidth = 6;
constexpr std::int64_t kRows = 12;

/// Rows of a table, which may be another module's too.
class Table : public nn::Module {
 public:
  explicit Table(const at::Tensor& weight) : weight_(add_parameter("weight", weight)) {}
  const nn::Parameter& weight() const { return *weight_; }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {at::embedding(weight_->tensor, inputs.at(0))};
  }

 private:
  ParameterSlot& weight_;
};

/// Scores against the rows of a table.
class Scores : public nn::Module {
 public:
  explicit Scores(const at::Tensor& weight) : weight_(add_parameter("weight", weight)) {}

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {at::linear(inputs.at(0), weight_->tensor)};
  }

 private:
  ParameterSlot& weight_;
};

/// A model whose first and last layer share their weights, with a layer that is never called.
class TiedModel : public nn::Module {
 public:
  TiedModel() {
    const auto weight = [] {
      return at::empty({kVocabulary, kWidth}, at::TensorOptions(at::kMeta));
    };
    table_ = add_child("table", std::make_unique<Table>(weight()));
    body_ = add_child("body", std::make_unique<nn::Linear>(kWidth, kWidth, at::kFloat));
    spare_ = add_child("spare", std::make_unique<nn::Linear>(kWidth, 3, at::kFloat));
    scores_ = add_child("scores", std::make_unique<Scores>(weight()));
    scores_->tie_parameter("weight", *table_, "weight");
  }
  void init_weights() {
    at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(3);
    nn::normal_(table_->weight(), generator);
    nn::normal_(body_->weight(), generator);
    nn::normal_(spare_->weight(), generator);
  }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {scores_->call(body_->call(table_->call(inputs.at(0))))};
  }

 private:
  Table* table_;
  nn::Linear* body_;
  nn::Linear* spare_;
  Scores* scores_;
};

using Gradients = std::map<std::string, at::Tensor>;

Gradients gradients_of_rank(const comm::RankContext& context) {
  TiedModel model;
  comm::ProcessGroup& shard = context.group(mesh::MeshDim::kFsdp);
  comm::ProcessGroup& replicate = context.group(mesh::MeshDim::kDpReplicate);
  std::shared_ptr<void> keeps;
  if (shard.size() > 1) {
    UnitOptions unit;
    unit.shard = &shard;
    unit.replicate = &replicate;
    unit.axis = axis_of(mesh::MeshDim::kFsdp);
    const auto fsdp = Fsdp::create(model, {});
    for (const char* name : {"table", "body", "spare", "scores"}) {
      fsdp->wrap({&model.submodule(name)}, unit);
    }
    fsdp->wrap_root(unit);
    keeps = fsdp;
  } else if (replicate.size() > 1) {
    keeps = Ddp::apply(model, replicate, /*bucket_bytes=*/64);
  }
  model.to_empty(at::kCPU);
  model.init_weights();
  const at::Tensor tokens =
      at::randint(kVocabulary, {2, kRows}, at::make_generator<at::CPUGeneratorImpl>(4), at::kLong);
  const std::int64_t rows = kRows / context.world_size;
  const at::Tensor mine = tokens.narrow(1, context.rank * rows, rows);
  const at::Tensor loss =
      at::cross_entropy_loss(model.call(mine[0]), mine[1], {}, at::Reduction::Sum);
  loss.backward();

  Gradients gradients;
  for (const auto& [name, parameter] : model.parameter_names()) {
    if (!parameter->tensor.grad().defined()) continue;
    gradients[name] = full_tensor(parameter->tensor.grad(), *parameter, context).clone();
  }
  return gradients;
}

Gradients gradients_on(const mesh::Degrees& degrees, std::int64_t ranks) {
  std::mutex mutex;
  Gradients result;
  test::on_local_ranks(degrees, ranks, [&](const comm::RankContext& context) {
    Gradients gradients = gradients_of_rank(context);
    const std::lock_guard lock(mutex);
    if (context.rank == 0) result = std::move(gradients);
  });
  return result;
}

TEST(TiedAndUnused, ParametersHaveTheGradientsOfOneProcess) {
  const Gradients expected = gradients_on({}, 1);
  ASSERT_EQ(expected.size(), 3) << "both places of the tied one, and the body's";
  const std::pair<mesh::Degrees, std::int64_t> layouts[] = {
      {{1, 2}, 2}, {{1, 3}, 3}, {{2, 1}, 2}, {{2, 2}, 4}};
  for (const auto& [degrees, ranks] : layouts) {
    SCOPED_TRACE(testing::Message() << degrees.dp_replicate << "x" << degrees.dp_shard);
    const Gradients gradients = gradients_on(degrees, ranks);
    ASSERT_EQ(gradients.size(), expected.size());
    for (const auto& [name, gradient] : expected) {
      EXPECT_TRUE(at::allclose(gradients.at(name), gradient, 1e-4, 1e-5)) << name;
    }
    EXPECT_TRUE(gradients.at("table.weight").equal(gradients.at("scores.weight")));
    EXPECT_EQ(gradients.count("spare.weight"), 0);
  }
}

}  // namespace
}  // namespace titan::parallel
