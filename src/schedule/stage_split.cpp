#include "titan/schedule/stage_split.h"

#include "titan/base/errors.h"

namespace titan::schedule {

std::vector<std::vector<std::string>> split_layers(std::int64_t stages, std::int64_t layers,
                                                   const SplitWeights& weights) {
  if (stages < 1) throw ConfigError("a pipeline needs at least one stage");
  const std::int64_t all = layers + weights.input + weights.output;
  if (stages > all) {
    throw ConfigError(concat("a pipeline of ", stages, " stages: ", layers,
                             " layers, with the weights of its ends (", weights.input, " and ",
                             weights.output, "), are enough for ", all));
  }
  const std::int64_t least = all / stages;
  const auto check = [&](const char* what, std::int64_t weight) {
    if (stages == 1 || weight <= least) return;
    throw ConfigError(concat(what, " (", weight, ") exceeds the least layers per stage (", least,
                             "): use fewer stages, or a smaller weight"));
  };
  check("pipeline_parallel_first_stage_less_layers", weights.input);
  check("pipeline_parallel_last_stage_less_layers", weights.output);

  std::vector<std::vector<std::string>> result(static_cast<std::size_t>(stages));
  std::int64_t next = 0;
  for (std::int64_t stage = 0; stage < stages; ++stage) {
    std::vector<std::string>& modules = result[static_cast<std::size_t>(stage)];
    std::int64_t share = least + (stage < all % stages ? 1 : 0);
    const bool is_last = stage + 1 == stages;
    if (stage == 0) {
      modules.emplace_back("tok_embeddings");
      share -= weights.input;
    }
    if (is_last) share = layers - next;
    for (; share > 0 && next < layers; --share) modules.push_back(concat("layers.", next++));
    if (is_last) modules.insert(modules.end(), {"norm", "output"});
  }
  return result;
}

}  // namespace titan::schedule
