#include "titan/components/optimizer/optimizer.h"

#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>

#include <functional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "components/optimizer/adam.h"
#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/protocols/parameter_state.h"
#include "titan/protocols/scales_gradients.h"

namespace titan::components {

namespace {

using UpdateFn = void (*)(const AdamTensors&, const AdamSettings&);

/// Parameters that share their settings.
struct ParameterGroup {
  std::vector<std::string> names;  // of the parameters
  AdamTensors tensors;
  double lr_scale = 1.0;
  double weight_decay = 0;
};

class AdamOptimizers : public protocols::Optimizers, public protocols::ScalesGradients {
 public:
  AdamOptimizers(std::vector<ParameterGroup> groups, const config::Optimizer& config,
                 UpdateFn update, bool clips)
      : groups_(std::move(groups)), base_lr_(config.lr), lr_(config.lr), update_(update) {
    settings_.beta1 = config.beta1;
    settings_.beta2 = config.beta2;
    settings_.eps = config.eps;
    settings_.decoupled_weight_decay = config.name == config::OptimizerName::kAdamW;
    fused_ = config.implementation == config::OptimizerImplementation::kFused;
    foreach_ = config.implementation == config::OptimizerImplementation::kForeach;
    clips_ = clips && fused_;
  }

  void step() override {
    const c10::NoGradGuard no_grad;
    for (const auto& hook : pre_hooks_) hook();
    for (ParameterGroup& group : groups_) step(group);
    gradient_scale_.reset();
    for (const auto& hook : post_hooks_) hook();
    stepped_early_.clear();
  }

  void step_early(const std::vector<at::Tensor>& parameters) override {
    const c10::NoGradGuard no_grad;
    std::vector<AdamTensors> now(groups_.size());
    for (const at::Tensor& parameter : parameters) {
      if (!parameter.grad().defined()) continue;
      const Place& place = place_of(parameter);
      TITAN_CHECK(stepped_early_.insert(parameter.unsafeGetTensorImpl()).second,
                  "a second gradient of ", groups_[place.group].names[place.index], " in one step");
      add(now[place.group], groups_[place.group].tensors, place.index);
    }
    for (std::size_t i = 0; i < groups_.size(); ++i) update_group(groups_[i], now[i]);
    for (const at::Tensor& parameter : parameters) parameter.mutable_grad().reset();
  }

  bool scale_next_step(const at::Tensor& factor) override {
    if (clips_) gradient_scale_ = factor.to(at::kFloat).reciprocal();
    return clips_;
  }

  void zero_grad() override {
    for (ParameterGroup& group : groups_) {
      for (at::Tensor& param : group.tensors.params) param.mutable_grad().reset();
    }
    stepped_early_.clear();  // of a step that was given up
  }

  double base_lr() const override { return base_lr_; }
  void set_lr(double lr) override { lr_ = lr; }

  std::vector<protocols::ParameterState> state() override {
    const c10::NoGradGuard no_grad;
    std::vector<protocols::ParameterState> result;
    for (ParameterGroup& group : groups_) {
      AdamTensors& all = group.tensors;
      if (all.steps.empty()) create_state(all);
      for (std::size_t i = 0; i < all.params.size(); ++i) {
        result.push_back({group.names[i],
                          {{"step", all.steps[i]},
                           {"exp_avg", all.exp_avgs[i]},
                           {"exp_avg_sq", all.exp_avg_sqs[i]}},
                          settings(group)});
      }
    }
    return result;
  }

  void add_step_pre_hook(std::function<void()> hook) override {
    pre_hooks_.push_back(std::move(hook));
  }
  void add_step_post_hook(std::function<void()> hook) override {
    post_hooks_.push_back(std::move(hook));
  }

 private:
  struct Place {
    std::size_t group;
    std::size_t index;  // in the group
  };

  void step(ParameterGroup& group) {
    AdamTensors& all = group.tensors;
    if (all.steps.empty()) create_state(all);
    AdamTensors now;  // parameters without a gradient sit this step out
    now.gradient_scale = gradient_scale_;
    for (std::size_t i = 0; i < all.params.size(); ++i) {
      if (all.params[i].grad().defined()) add(now, all, i);
    }
    update_group(group, now);
  }

  void add(AdamTensors& now, AdamTensors& all, std::size_t index) const {
    if (all.steps.empty()) create_state(all);
    now.params.push_back(all.params[index]);
    now.grads.push_back(all.params[index].grad());
    now.exp_avgs.push_back(all.exp_avgs[index]);
    now.exp_avg_sqs.push_back(all.exp_avg_sqs[index]);
    now.steps.push_back(all.steps[index]);
  }

  void update_group(const ParameterGroup& group, const AdamTensors& now) {
    settings_.lr = lr_ * group.lr_scale;
    settings_.weight_decay = group.weight_decay;
    update_(now, settings_);
  }

  const Place& place_of(const at::Tensor& parameter) {
    if (places_.empty()) {
      for (std::size_t group = 0; group < groups_.size(); ++group) {
        const std::vector<at::Tensor>& params = groups_[group].tensors.params;
        for (std::size_t i = 0; i < params.size(); ++i) {
          places_.emplace(params[i].unsafeGetTensorImpl(), Place{group, i});
        }
      }
    }
    const auto place = places_.find(parameter.unsafeGetTensorImpl());
    TITAN_CHECK(place != places_.end(), "the optimizer does not have this parameter");
    return place->second;
  }

  /// The options of torch.optim.Adam and AdamW, in their order.
  std::vector<std::pair<std::string, protocols::ParameterState::Setting>> settings(
      const ParameterGroup& group) const {
    return {{"lr", lr_ * group.lr_scale},
            {"betas", std::pair(settings_.beta1, settings_.beta2)},
            {"eps", settings_.eps},
            {"weight_decay", group.weight_decay},
            {"amsgrad", false},
            {"maximize", false},
            {"foreach", foreach_},
            {"capturable", false},
            {"differentiable", false},
            {"fused", fused_},
            {"decoupled_weight_decay", settings_.decoupled_weight_decay},
            {"initial_lr", base_lr_ * group.lr_scale}};
  }

  /// Made when it is first asked for: then the parameters are where they will stay.
  void create_state(AdamTensors& all) const {
    for (const at::Tensor& param : all.params) {
      const auto options = at::TensorOptions()
                               .dtype(at::kFloat)
                               .device(fused_ ? param.device() : at::Device(at::kCPU));
      all.steps.push_back(at::zeros({}, options));
      all.exp_avgs.push_back(at::zeros_like(param));
      all.exp_avg_sqs.push_back(at::zeros_like(param));
    }
  }

  std::vector<ParameterGroup> groups_;
  std::unordered_map<const c10::TensorImpl*, Place> places_;  // made when first asked for
  std::unordered_set<const c10::TensorImpl*> stepped_early_;  // in the step that runs
  double base_lr_;
  double lr_;
  UpdateFn update_;
  AdamSettings settings_;
  bool fused_;  // and the steps are counted on the device
  bool foreach_;
  bool clips_;
  at::Tensor gradient_scale_;  // of the next step
  std::vector<std::function<void()>> pre_hooks_;
  std::vector<std::function<void()>> post_hooks_;
};

/// One group per pattern plus one for the rest; the first pattern that is found in a name takes the
/// parameter.
std::vector<ParameterGroup> group_by_pattern(const std::vector<nn::NamedParameter>& parameters,
                                             const config::Optimizer& config) {
  std::vector<ParameterGroup> groups;
  std::vector<std::function<bool(const std::string&)>> matchers;
  for (const config::ParamGroup& group : config.param_groups) {
    matchers.push_back(config::compile_pattern(group.pattern));
    groups.push_back(
        {{}, {}, group.lr_scale.value_or(1.0), group.weight_decay.value_or(config.weight_decay)});
  }
  groups.push_back({{}, {}, 1.0, config.weight_decay});
  for (const nn::NamedParameter& parameter : parameters) {
    if (!parameter.tensor().requires_grad()) continue;
    std::size_t index = 0;
    while (index < matchers.size() && !matchers[index](parameter.name)) ++index;
    groups[index].names.push_back(parameter.name);
    groups[index].tensors.params.push_back(parameter.tensor());
  }
  for (std::size_t i = 0; i < matchers.size(); ++i) {
    if (groups[i].tensors.params.empty()) {
      throw ConfigError(concat("optimizer.param_groups: pattern '", config.param_groups[i].pattern,
                               "' matches no parameter that an earlier pattern left."));
    }
  }
  return groups;
}

UpdateFn update_function(config::OptimizerImplementation implementation) {
  switch (implementation) {
    case config::OptimizerImplementation::kForLoop:
      return adam_for_loop;
    case config::OptimizerImplementation::kForeach:
      return adam_foreach;
    case config::OptimizerImplementation::kFused:
      return adam_fused;
  }
  throw InternalError("unknown optimizer implementation");
}

}  // namespace

std::unique_ptr<protocols::Optimizers> build_optimizers(
    const std::vector<nn::NamedParameter>& parameters, const config::Optimizer& config,
    bool clips) {
  return std::make_unique<AdamOptimizers>(group_by_pattern(parameters, config), config,
                                          update_function(config.implementation), clips);
}

}  // namespace titan::components
