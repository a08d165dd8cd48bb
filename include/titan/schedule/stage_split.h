#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace titan::schedule {

/// How layers are shared out among stages: `input_weight` and `output_weight` are how many layers the embedding
/// and the last norm with the output count for.
struct SplitWeights {
  std::int64_t input = 1;
  std::int64_t output = 1;
};

/// The modules of each stage, by name: "tok_embeddings", "layers.0", ..., "norm", "output". Where they do not
/// divide, the first stages have one more. Throws ConfigError for more stages than there is for them, and for a weight
/// that is more than a stage has.
std::vector<std::vector<std::string>> split_layers(std::int64_t stages, std::int64_t layers,
                                                   const SplitWeights& weights);

}  // namespace titan::schedule
