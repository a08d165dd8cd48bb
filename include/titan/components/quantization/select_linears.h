#pragma once

#include <string>
#include <utility>
#include <vector>

#include "titan/config/transforms.h"
#include "titan/nn/module.h"

namespace titan::components {

/// Which modules of a kind train in low precision, and of the others why they do not.
struct Selection {
  std::vector<std::pair<std::string, nn::Module*>> converted;
  std::vector<std::pair<std::string, std::string>> left;  // name, reason
  std::vector<std::string> unmatched;  // what was asked for by a name that none has
};

/// Those with both dimensions multiples of `multiple`, and no parameters but "weight" and "bias", whose name contains none of `filters`. Among these
/// "auto_filter_small_kn" stands for layers too small to gain from `recipe`, as torchao's rule has
/// them. Throws ConfigError where it has no rule.
Selection select_linears(nn::Module& model, const std::vector<std::string>& filters,
                         config::Float8Recipe recipe = config::Float8Recipe::kTensorwise,
                         std::int64_t multiple = 16);

}  // namespace titan::components
