#pragma once

#include <nlohmann/json_fwd.hpp>

#include "titan/protocols/data_loader.h"

namespace titan::protocols {

/// A position as checkpoints and the parts of tokenized data hold it.
nlohmann::ordered_json to_json(const StreamPosition& position);

/// Throws RunError saying what is missing or of the wrong type.
StreamPosition position_from_json(const nlohmann::ordered_json& json);

}  // namespace titan::protocols
