#include "titan/step/module_listing.h"

#include <c10/util/Type.h>

#include <algorithm>
#include <map>
#include <typeinfo>

#include "titan/base/errors.h"

namespace titan::step {
namespace {

std::string type_of(const nn::Module& module) {
  const std::string name = c10::demangle(typeid(module).name());
  return name.substr(name.rfind(':') + 1);
}

std::string text_of(const nn::NamedParameter& parameter, const std::string& own_name) {
  const at::Tensor& tensor = parameter.tensor();
  return concat(own_name, " [", joined(parameter.parameter->full_sizes), "] ",
                c10::toString(tensor.scalar_type()));
}

}  // namespace

std::string module_listing(nn::Module& model) {
  std::map<std::string, std::string> parameters;  // of a module, by its name
  for (const nn::NamedParameter& parameter : model.parameter_names()) {
    const std::size_t dot = parameter.name.rfind('.');
    const std::string owner = dot == std::string::npos ? "" : parameter.name.substr(0, dot);
    std::string& list = parameters[owner];
    list += (list.empty() ? "" : ", ") +
            text_of(parameter, parameter.name.substr(dot == std::string::npos ? 0 : dot + 1));
  }
  std::string text;
  for (const auto& [name, module] : model.named_modules()) {
    const auto depth = name.empty() ? 0 : 1 + std::ranges::count(name, '.');
    const std::string& own = parameters[name];
    text += std::string(static_cast<std::size_t>(2 * depth), ' ') +
            (name.empty() ? "" : name.substr(name.rfind('.') + 1) + ": ") + type_of(*module) +
            (own.empty() ? "" : "(" + own + ")") + "\n";
  }
  return text;
}

}  // namespace titan::step
