#include "titan/pipeline/tied_weights.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <optional>
#include <set>
#include <unordered_map>

#include "titan/watch/watch.h"

namespace titan::pipeline {

namespace {

std::optional<std::int64_t> stage_of(const std::string& parameter,
                                     const std::vector<std::vector<std::string>>& modules) {
  for (std::size_t stage = 0; stage < modules.size(); ++stage) {
    for (const std::string& module : modules[stage]) {
      if (parameter.starts_with(module + ".")) return static_cast<std::int64_t>(stage);
    }
  }
  return std::nullopt;
}

/// A gradient where the ranks meet; zeros where backward has left none.
at::Tensor gradient_on(const nn::Parameter& parameter, at::Device device) {
  at::Tensor& gradient = parameter.tensor.mutable_grad();
  if (!gradient.defined()) gradient = at::zeros_like(parameter.tensor);
  return gradient.to(device).contiguous();
}

}  // namespace

std::vector<TiedParameter> tied_parameters(const nn::Module& model,
                                           const std::vector<std::vector<std::string>>& modules) {
  std::vector<TiedParameter> result;
  std::unordered_map<nn::Parameter*, std::vector<std::string>> names;
  const std::vector<nn::NamedParameter> all = model.parameter_names();
  for (const nn::NamedParameter& named : all) names[named.parameter].push_back(named.name);
  for (const nn::NamedParameter& named : all) {
    const std::vector<std::string>& mine = names.at(named.parameter);
    if (mine.size() == 1 || mine.front() != named.name) continue;
    std::set<std::int64_t> stages;
    for (const std::string& name : mine) {
      if (const auto stage = stage_of(name, modules)) stages.insert(*stage);
    }
    if (stages.size() > 1) {
      result.push_back({named.name, named.parameter, {stages.begin(), stages.end()}});
    }
  }
  return result;
}

TiedWeights::TiedWeights(const protocols::ModelParts& parts, const Plan& plan,
                         const comm::RankContext& context)
    : context_(context) {
  // Every part knows the names of the whole model.
  for (const TiedParameter& tied : tied_parameters(*parts.front().model, plan.modules)) {
    Holders holders;
    for (const std::int64_t stage : tied.stages) {
      holders.push_back({nullptr, plan.placement.rank_of(stage)});
      for (const protocols::ModelPart& part : parts) {
        if (part.stage.index != stage) continue;
        const auto mine = part.model->named_parameters();
        holders.back().parameter =
            std::ranges::find(mine, tied.name, &nn::NamedParameter::name)->parameter;
      }
    }
    const bool is_mine = std::ranges::any_of(
        holders, [](const Holder& holder) { return holder.parameter != nullptr; });
    if (is_mine) tied_.push_back(std::move(holders));
  }
}

void TiedWeights::sum_gradients(std::int64_t step) const {
  if (tied_.empty()) return;
  if (context_.watch != nullptr) {
    context_.watch->enter_phase("summing the gradients of weights that stages share", step);
  }
  const c10::NoGradGuard no_grad;
  comm::ProcessGroup& group = context_.group(mesh::MeshDim::kPp);
  std::vector<std::vector<at::Tensor>> gradients;  // as `tied_`
  std::vector<comm::Message> messages;
  using Direction = comm::Message::Direction;
  for (const Holders& holders : tied_) {
    std::vector<at::Tensor>& parts = gradients.emplace_back();
    const nn::Parameter& mine = *std::ranges::find_if(holders, [](const Holder& h) {
                                   return h.parameter != nullptr;
                                 })->parameter;
    // Frozen, or a rank without rows: so it is on all stages.
    if (!mine.tensor.requires_grad() || mine.tensor.numel() == 0) continue;
    std::set<std::int64_t> others;
    for (const Holder& holder : holders) {
      if (holder.parameter != nullptr) {
        parts.push_back(gradient_on(*holder.parameter, group.device()));
        continue;
      }
      parts.push_back(
          at::empty(mine.tensor.sizes(),
                    at::TensorOptions().dtype(mine.tensor.scalar_type()).device(group.device())));
      messages.push_back({parts.back(), holder.rank, Direction::kReceive});
      others.insert(holder.rank);
    }
    for (std::size_t i = 0; i < holders.size(); ++i) {
      if (holders[i].parameter == nullptr) continue;
      for (const std::int64_t rank : others) {
        messages.push_back({parts[i], rank, Direction::kSend});
      }
    }
  }
  group.exchange(messages).wait();
  for (std::size_t i = 0; i < tied_.size(); ++i) {
    if (gradients[i].empty()) continue;
    at::Tensor sum = gradients[i][0] + gradients[i][1];
    for (std::size_t stage = 2; stage < gradients[i].size(); ++stage) sum.add_(gradients[i][stage]);
    for (const Holder& holder : tied_[i]) {
      if (holder.parameter != nullptr) holder.parameter->tensor.mutable_grad().copy_(sum);
    }
  }
}

}  // namespace titan::pipeline
