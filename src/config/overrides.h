#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/toml_file.h"
#include "titan/config/problem.h"

namespace titan::config {

/// Reads `--section.option` arguments in TorchTitan's spelling (tyro's), plus ours for booleans:
///
///   --training.steps=10   --training.steps 10   --training.local-batch-size 4
///   --compile.enable   --compile.no-enable   --no-compile.enable   --compile.enable=false
///   --compile.components model,loss   --training.dataset_path None
///   --parallelism.module_fqns_per_model_part tok_embeddings,layers.0 layers.1,norm,output
///
/// An option given again overrides itself; every --job.config_file counts. Anything that is no
/// option is a problem. `program_options` are suggested for misspelt words, but not read.
std::vector<Assignment> read_overrides(std::span<const std::string> args,
                                       std::span<const std::string_view> program_options,
                                       Problems& problems);

}  // namespace titan::config
