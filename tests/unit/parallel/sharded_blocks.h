#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/allclose.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/nn/init.h"
#include "titan/nn/linear.h"
#include "titan/parallel/fsdp.h"
#include "titan/parallel/layout.h"

/// Blocks with experts, whole or in parts, whose gradients are known.
namespace titan::parallel::sharded_blocks {

using mesh::MeshDim;
using Gradients = std::map<std::string, at::Tensor>;

inline constexpr std::int64_t kWidth = 6;
inline constexpr std::int64_t kExperts = 3;
inline constexpr std::int64_t kRows = 16;  // of all ranks and microbatches

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
inline at::Tensor rows(std::int64_t part, std::int64_t parts) {
  const at::Tensor all =
      at::randn({kRows, kWidth}, at::make_generator<at::CPUGeneratorImpl>(4), at::kDouble);
  return all.narrow(0, part * kRows / parts, kRows / parts);
}

inline at::Tensor loss_of(Model& model, const at::Tensor& x) {
  return model.call(x).square().sum();
}

inline Gradients full_gradients(const Model& model, const comm::RankContext& context) {
  Gradients result;
  for (const auto& [name, parameter] : model.named_parameters()) {
    result[name] = full_tensor(parameter->tensor.grad(), *parameter, context);
  }
  return result;
}

/// Of one process that sees all rows.
inline Gradients expected_gradients() {
  Model model;
  model.to_empty(at::kCPU);
  model.init_weights();
  loss_of(model, rows(0, 1)).backward();
  return full_gradients(model, comm::RankContext());
}

inline void expect_close(const Gradients& gradients) {
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

inline UnitOptions over(const comm::RankContext& context, MeshDim dim) {
  UnitOptions options;
  options.shard = &context.group(dim);
  options.axis = axis_of(dim);
  return options;
}

/// Blocks over all ranks; with `experts_apart` their experts over the ranks of efsdp, columns first, and
/// the same on the ranks of ep.
inline void shard(Sharded& sharded, const comm::RankContext& context, bool experts_apart,
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

}  // namespace titan::parallel::sharded_blocks
