#include <unordered_map>
#include <utility>

#include "titan/base/errors.h"
#include "titan/components/checkpoint/stateful.h"
#include "titan/protocols/parameter_state.h"

namespace titan::components {
namespace {

using formats::PickleValue;
using protocols::ParameterState;

class ModelState : public Stateful {
 public:
  explicit ModelState(const protocols::ModelParts& parts) : parts_(parts) {}

  std::string name() const override { return "model"; }

  void add_to(FlatState& state) override {
    for (const protocols::ModelPart& part : parts_) {
      for (const auto& [name, parameter] : part.model->parameter_names()) {
        if (!parameter->here) continue;
        state.tensors.push_back({{name}, parameter->tensor.detach(), parameter->box()});
      }
      for (const nn::NamedTensor& buffer : part.model->persistent_buffers()) {
        if (buffer.here) state.tensors.push_back({{buffer.name}, buffer.tensor});
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
    for (const ParameterState& parameter : optimizers_.state()) {
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
