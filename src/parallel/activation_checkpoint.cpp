#include "titan/parallel/activation_checkpoint.h"

#include <algorithm>
#include <cctype>
#include <map>
#include <memory>
#include <utility>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/nn/linear.h"
#include "titan/parallel/module_pattern.h"
#include "titan/tools/logging.h"

namespace titan::parallel {

namespace {

using config::ActivationCheckpointMode;

/// Wraps every n-th block, counting from 1; 0 wraps all.
std::int64_t layer_frequency(const std::string& option) {
  const bool digits = !option.empty() && option.size() < 10 &&
                      std::all_of(option.begin(), option.end(),
                                  [](unsigned char c) { return std::isdigit(c) != 0; });
  if (!digits) {
    throw ConfigError("activation_checkpoint.selective_ac_option: invalid value '" + option +
                      "'. Valid options: 'op' or a positive int representing layer frequency.");
  }
  return std::stoll(option);
}

void add_recompute_shapes(OperatorSavePolicy& policy, const std::string& block_name,
                          nn::Module& block, const std::vector<std::string>& patterns) {
  for (const auto& [name, module] : block.named_modules()) {
    const std::string full_name = name.empty() ? block_name : block_name + "." + name;
    const bool matches = std::any_of(patterns.begin(), patterns.end(), [&](const std::string& p) {
      return full_name.find(p) != std::string::npos;
    });
    if (!matches) continue;
    const auto* linear = dynamic_cast<const nn::Linear*>(module);
    if (linear == nullptr) {
      throw ConfigError("activation_checkpoint.per_op_sac_force_recompute_mm_shapes_by_fqns: " +
                        full_name + " is matched, but is not a linear layer.");
    }
    const at::IntArrayRef sizes = linear->weight().tensor.sizes();
    policy.recompute_mm_shapes.emplace(sizes[1], sizes[0]);
  }
}

/// Logs what the block computes again, the first time.
std::function<void(const std::map<std::string, std::int64_t>&)> log_once(const std::string& block) {
  return [block, logged = std::make_shared<bool>(false)](
             const std::map<std::string, std::int64_t>& calls) {
    if (std::exchange(*logged, true)) return;
    std::string text;
    for (const auto& [name, count] : calls) {
      text += concat(text.empty() ? "" : ", ", count, " ", name);
    }
    tools::log_info(block, " computes again: ", text.empty() ? "nothing" : text);
  };
}

void wrap(nn::Module& block, CheckpointOptions options) {
  block.wrap_forward(
      [options = std::move(options)](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
        return checkpoint_forward(forward, inputs, options);
      });
}

}  // namespace

void apply_ac(nn::Module& model, std::string_view blocks,
              const config::ActivationCheckpoint& config, const OperatorSavePolicy& save_policy,
              const Planning& planning) {
  const bool by_budget = config.mode == ActivationCheckpointMode::kMemoryBudget;
  if (by_budget) tools::log_info("Selected ", config.memory_budget, " budget option.");
  const bool keeps_all = by_budget && config.memory_budget == 1;
  if (config.mode == ActivationCheckpointMode::kNone || keeps_all) return;
  const bool by_operator =
      config.mode == ActivationCheckpointMode::kSelective && config.selective_ac_option == "op";
  const bool all = config.mode == ActivationCheckpointMode::kFull || by_operator || by_budget;
  const std::int64_t frequency = all ? 0 : layer_frequency(config.selective_ac_option);
  CheckpointOptions options;
  options.preserve_rng_state = config.preserve_rng_state;
  options.determinism_check = config.determinism_check == config::DeterminismCheck::kDefault;
  options.early_stop = config.early_stop || by_budget;

  const auto matching = modules_matching(model, blocks);
  const auto budget = std::make_shared<MemoryBudget>(config.memory_budget,
                                                     static_cast<std::int64_t>(matching.size()),
                                                     save_policy.always_kept, planning);
  std::int64_t count = 0;
  for (const auto& [name, block] : matching) {
    ++count;
    if (frequency != 0 && count % frequency != 0) continue;
    if (config.debug) options.report_recomputed = log_once(name);
    if (by_budget && config.memory_budget > 0) {
      options.selective_modes = budget->block(name, config.debug);
    } else if (by_operator) {
      auto policy = std::make_shared<OperatorSavePolicy>(save_policy);
      add_recompute_shapes(*policy, name, *block,
                           config.per_op_sac_force_recompute_mm_shapes_by_fqns);
      options.selective_modes = [policy] { return selective_modes(policy); };
    } else if (!save_policy.always_kept.empty()) {
      auto policy = std::make_shared<OperatorSavePolicy>(only_always_kept(save_policy));
      options.selective_modes = [policy] { return selective_modes(policy); };
    }
    wrap(*block, options);
  }
  tools::log_info("Applied ", config::to_string(config.mode),
                  " activation checkpointing to the model");
}

}  // namespace titan::parallel
