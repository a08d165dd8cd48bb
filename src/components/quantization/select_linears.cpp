#include "titan/components/quantization/select_linears.h"

#include <algorithm>

#include "titan/base/errors.h"
#include "titan/nn/linear.h"

namespace titan::components {

namespace {

using config::Float8Recipe;

constexpr std::string_view kSmall = "auto_filter_small_kn";

bool is_small(std::int64_t out, std::int64_t in, Float8Recipe recipe) {
  if (recipe == Float8Recipe::kTensorwise) return out <= 4096 && in <= 1024;
  return in <= 2048 || out <= 1024 || (in <= 4096 && out <= 2048);
}

}  // namespace

Selection select_linears(nn::Module& model, const std::vector<std::string>& filters,
                         Float8Recipe recipe, std::int64_t multiple) {
  const bool leaves_small = std::ranges::find(filters, kSmall) != filters.end();
  const bool has_rule = recipe == Float8Recipe::kTensorwise || recipe == Float8Recipe::kRowwise;
  if (leaves_small && !has_rule) {
    throw ConfigError(concat("quantize.linear.float8.filter_fqns: there is no ", kSmall,
                             " for the recipe ", config::to_string(recipe), "; name the layers"));
  }
  // What a subclass computes with other parameters would be lost with its forward.
  const auto has_others = [](const nn::Linear& linear) {
    return std::ranges::any_of(linear.parameter_names(), [](const nn::NamedParameter& own) {
      return own.name != "weight" && own.name != "bias";
    });
  };
  const auto reason_to_leave = [&](const std::string& name,
                                   const nn::Linear& linear) -> std::string {
    const auto& sizes = linear.weight().full_sizes;
    if (sizes[0] % multiple != 0 || sizes[1] % multiple != 0) {
      return concat("its weight is ", sizes[0], " x ", sizes[1], ", not multiples of ", multiple);
    }
    if (has_others(linear)) return "it has parameters beside weight and bias";
    for (const std::string& filter : filters) {
      if (filter != kSmall && name.find(filter) != std::string::npos) {
        return concat("filter_fqns has \"", filter, "\"");
      }
    }
    if (leaves_small && is_small(sizes[0], sizes[1], recipe)) {
      return concat("its weight of ", sizes[0], " x ", sizes[1], " is too small to gain");
    }
    return "";
  };
  Selection result;
  result.unmatched = filters;
  std::erase(result.unmatched, kSmall);
  for (const auto& [name, module] : model.named_modules()) {
    const auto* linear = dynamic_cast<const nn::Linear*>(module);
    if (linear == nullptr) continue;
    std::erase_if(result.unmatched, [&name](const std::string& filter) {
      return name.find(filter) != std::string::npos;
    });
    std::string reason = reason_to_leave(name, *linear);
    if (reason.empty()) {
      result.converted.emplace_back(name, module);
    } else {
      result.left.emplace_back(name, std::move(reason));
    }
  }
  return result;
}

}  // namespace titan::components
