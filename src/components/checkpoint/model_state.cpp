#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <map>
#include <set>
#include <unordered_map>
#include <utility>

#include "titan/base/errors.h"
#include "titan/components/checkpoint/stateful.h"
#include "titan/protocols/parameter_state.h"

namespace titan::components {
namespace {

using formats::PickleValue;
using protocols::ParameterState;

/// Weights that two stages of a rank share (tied weights) are in a checkpoint once: what the first has, which
/// others take over.
using FirstOnes = std::map<std::string, at::Tensor>;

void take_over(FirstOnes& first, const std::string& key, const at::Tensor& tensor) {
  const auto [known, is_first] = first.try_emplace(key, tensor);
  if (!is_first && !known->second.is_same(tensor)) tensor.copy_(known->second);
}

class ModelState : public Stateful {
 public:
  explicit ModelState(const protocols::ModelParts& parts) : parts_(parts) {}

  std::string name() const override { return "model"; }

  void add_to(FlatState& state) override {
    FirstOnes first;
    for (const protocols::ModelPart& part : parts_) {
      for (const auto& [name, parameter] : part.model->parameter_names()) {
        if (!parameter->here || !first.try_emplace(name, parameter->tensor).second) continue;
        state.tensors.push_back({{name}, parameter->tensor.detach(), parameter->box()});
      }
      for (const nn::NamedTensor& buffer : part.model->persistent_buffers()) {
        if (buffer.here) state.tensors.push_back({{buffer.name}, buffer.tensor});
      }
    }
  }

  void restore(const DcpCheckpoint&) override {
    const c10::NoGradGuard no_grad;
    FirstOnes first;
    for (const protocols::ModelPart& part : parts_) {
      for (const auto& [name, parameter] : part.model->parameter_names()) {
        if (parameter->here) take_over(first, name, parameter->tensor);
      }
    }
  }

 private:
  const protocols::ModelParts& parts_;
};

PickleValue pickled(const ParameterState::Setting& setting) {
  if (const auto* flag = std::get_if<bool>(&setting)) return PickleValue::boolean(*flag);
  if (const auto* number = std::get_if<double>(&setting)) return PickleValue::real(*number);
  const auto& [first, second] = std::get<std::pair<double, double>>(setting);
  return PickleValue::tuple({PickleValue::real(first), PickleValue::real(second)});
}

/// Keys as TorchTitan flattens them: "optimizer" holds "state.<parameter>.exp_avg".
class OptimizerState : public Stateful {
 public:
  OptimizerState(protocols::Optimizers& optimizers, const protocols::ModelParts& parts)
      : optimizers_(optimizers), parts_(parts) {}

  std::string name() const override { return "optimizer"; }

  void add_to(FlatState& state) override {
    const auto boxes = boxes_by_name();
    std::set<std::string> added;
    for (const ParameterState& parameter : optimizers_.state()) {
      if (!added.insert(parameter.parameter).second) continue;
      for (const auto& [what, tensor] : parameter.tensors) {
        const auto& box = boxes.at(parameter.parameter);
        state.tensors.push_back({{"optimizer", "state." + parameter.parameter + "." + what},
                                 tensor,
                                 tensor.dim() == 0 ? std::nullopt : box});
      }
      for (const auto& [what, setting] : parameter.settings) {
        state.objects.push_back(
            {{"optimizer", "param_groups." + parameter.parameter + "." + what}, pickled(setting)});
      }
    }
  }

  void restore(const DcpCheckpoint&) override {
    const c10::NoGradGuard no_grad;
    FirstOnes first;
    for (const ParameterState& parameter : optimizers_.state()) {
      for (const auto& [what, tensor] : parameter.tensors) {
        take_over(first, parameter.parameter + "." + what, tensor);
      }
    }
  }

 private:
  std::unordered_map<std::string, std::optional<nn::TensorBox>> boxes_by_name() const {
    std::unordered_map<std::string, std::optional<nn::TensorBox>> boxes;
    for (const auto& [name, parameter] : protocols::named_parameters(parts_)) {
      boxes.emplace(name, parameter->box());
    }
    return boxes;
  }

  protocols::Optimizers& optimizers_;
  const protocols::ModelParts& parts_;
};

}  // namespace

std::unique_ptr<Stateful> model_state(const protocols::ModelParts& parts) {
  return std::make_unique<ModelState>(parts);
}

std::unique_ptr<Stateful> optimizer_state(protocols::Optimizers& optimizers,
                                          const protocols::ModelParts& parts) {
  return std::make_unique<OptimizerState>(optimizers, parts);
}

}  // namespace titan::components
