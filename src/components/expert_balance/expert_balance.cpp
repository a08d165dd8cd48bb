#include "titan/components/expert_balance/expert_balance.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/full_like.h>
#include <ATen/ops/sign.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "titan/autograd/recomputation.h"
#include "titan/base/errors.h"
#include "titan/nn/moe/moe.h"
#include "titan/tools/logging.h"

namespace titan::components {

namespace {

void warn_of_collapse(const protocols::ExpertLoad& load) {
  // Of fewer tokens some experts have none by chance.
  const bool is_many = load.tokens >= 16 * load.experts;
  if (!is_many || 2 * load.idle_experts < load.experts) return;
  tools::warn_once(
      concat("The router of ", load.layer, " has collapsed: half or more of its ", load.experts,
             " experts got no token in a step. A smaller learning rate, a longer warmup or another "
             "load_balance_coeff may help."));
}

}  // namespace

/// Of one layer that this rank has.
struct ExpertBalance::Counts {
  nn::MoE& layer;
  std::int64_t place;  // among all layers of the model
};

ExpertBalance::ExpertBalance(const protocols::ModelParts& parts, const comm::RankContext& context)
    : context_(context) {
  for (const protocols::ModelPart& part : parts) {
    names_.clear();  // every part is the whole tree
    for (const auto& [name, module] : part.model->named_modules()) {
      auto* layer = dynamic_cast<nn::MoE*>(module);
      if (layer == nullptr) continue;
      names_.push_back(name);
      if (!layer->is_here()) continue;
      layer->router().add_post_forward_hook(
          [layer](nn::Module&, const nn::Inputs&, const nn::Tensors& outputs) {
            if (!c10::GradMode::is_enabled() || autograd::is_recomputing()) return;
            layer->tokens_per_expert().add_(outputs.at(2));
          });
      here_.push_back(
          std::make_unique<Counts>(Counts{*layer, static_cast<std::int64_t>(names_.size()) - 1}));
    }
  }
}

ExpertBalance::~ExpertBalance() = default;

void ExpertBalance::begin_step() {
  for (const auto& counts : here_) counts->layer.tokens_per_expert().zero_();
}

void ExpertBalance::update() {
  const c10::NoGradGuard no_grad;
  if (here_.empty()) return;
  std::vector<at::Tensor> of_layers;
  for (const auto& counts : here_) of_layers.push_back(counts->layer.tokens_per_expert());
  comm::ProcessGroup& group = context_.group(mesh::MeshDim::kLoss);
  const at::Tensor tokens = at::stack(of_layers).to(group.device());
  group.all_reduce(tokens).wait();
  last_ = tokens.to(of_layers.front().device());
  for (std::size_t i = 0; i < here_.size(); ++i) {
    of_layers[i].zero_();
    move_bias(i, last_[static_cast<std::int64_t>(i)]);
  }
}

void ExpertBalance::move_bias(std::size_t layer, const at::Tensor& tokens) const {
  nn::MoE& mixture = here_[layer]->layer;
  const nn::MoEArgs& args = mixture.args();
  if (!args.load_balance_coeff || !args.moves_bias) return;
  const at::Tensor delta = *args.load_balance_coeff * at::sign(tokens.mean() - tokens);
  mixture.expert_bias().add_(delta - delta.mean());
}

std::vector<protocols::ExpertLoad> ExpertBalance::loads() const {
  const c10::NoGradGuard no_grad;
  comm::ProcessGroup& stages = context_.group(mesh::MeshDim::kPp);
  // Columns: the largest load in means, experts without a token, all of them, what went to them.
  const at::Tensor figures =
      at::zeros({static_cast<std::int64_t>(names_.size()), 4}, at::TensorOptions());
  if (last_.defined()) {
    const at::Tensor mean = last_.mean(1).clamp_min(1e-9);
    const at::Tensor here = at::stack({last_.amax(1) / mean, (last_ == 0).sum(1).to(at::kFloat),
                                       at::full_like(mean, last_.size(1)), last_.sum(1)},
                                      1)
                                .to(at::kCPU);
    for (std::size_t i = 0; i < here_.size(); ++i) {
      figures[here_[i]->place].copy_(here[static_cast<std::int64_t>(i)]);
    }
  }
  const at::Tensor on_group = figures.to(stages.device());
  stages.all_reduce(on_group).wait();
  const at::Tensor all = on_group.to(at::kCPU);
  std::vector<protocols::ExpertLoad> result;
  for (std::size_t i = 0; i < names_.size(); ++i) {
    const float* row = all[static_cast<std::int64_t>(i)].const_data_ptr<float>();
    protocols::ExpertLoad load;
    load.layer = names_[i];
    load.imbalance = row[0];
    load.idle_experts = static_cast<std::int64_t>(row[1]);
    load.experts = static_cast<std::int64_t>(row[2]);
    load.tokens = static_cast<std::int64_t>(row[3]);
    warn_of_collapse(load);
    result.push_back(load);
  }
  return result;
}

}  // namespace titan::components
