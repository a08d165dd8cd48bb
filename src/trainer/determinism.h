#pragma once

#include "titan/config/job_config.h"

namespace titan::trainer {

/// Makes LibTorch refuse (or, with `deterministic_warn_only`, announce) operators whose results may
/// differ from run to run. A setting of the whole process: LibTorch has no other. Call before the
/// first operator runs.
void use_deterministic_algorithms(const config::Debug& debug);

}  // namespace titan::trainer
