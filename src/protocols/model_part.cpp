#include "titan/protocols/model_part.h"

#include <utility>

namespace titan::protocols {

std::vector<nn::NamedParameter> named_parameters(const ModelParts& parts) {
  std::vector<nn::NamedParameter> result;
  for (const ModelPart& part : parts) {
    for (nn::NamedParameter& named : part.model->named_parameters()) {
      result.push_back(std::move(named));
    }
  }
  return result;
}

parallel::Parameters parameters_of(const ModelParts& parts) {
  parallel::Parameters result;
  for (const nn::NamedParameter& named : named_parameters(parts)) {
    result.push_back(named.parameter);
  }
  return result;
}

}  // namespace titan::protocols
