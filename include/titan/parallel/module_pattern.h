#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "titan/nn/module.h"

namespace titan::parallel {

/// The modules below `model` whose name fits `pattern`, in the model's order. "*" stands for one part of a
/// dotted name: "layers.*" are all layers, "layers.*.attention" their attentions.
std::vector<std::pair<std::string, nn::Module*>> modules_matching(nn::Module& model,
                                                                  std::string_view pattern);

/// Whether a dotted name fits.
bool matches_pattern(std::string_view name, std::string_view pattern);

}  // namespace titan::parallel
