#pragma once

#include <nlohmann/json_fwd.hpp>

#include "titan/protocols/data_loader.h"

namespace titan::components {

nlohmann::ordered_json to_json(const protocols::StreamPosition& position);

/// Throws RunError saying what is missing or of the wrong type.
protocols::StreamPosition position_from_json(const nlohmann::ordered_json& json);

}  // namespace titan::components
