#pragma once

#include <nlohmann/json_fwd.hpp>

#include "titan/nn/moe/args.h"

namespace titan::protocols {

/// The arguments of a mixture of experts under the reference's names, for ModelArgs::to_json.
nlohmann::ordered_json mixture_json(const nn::MoEArgs& args);

}  // namespace titan::protocols
