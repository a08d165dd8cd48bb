#pragma once

#include "config/rules.h"

namespace titan::config {

/// The rules on parallelism degrees. All broken ones are reported; the first with the nearest
/// layouts that keep them all.
void check_layout(const Rules& rules);

}  // namespace titan::config
