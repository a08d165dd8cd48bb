#pragma once

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>

#include <cmath>
#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "support/local_ranks.h"
#include "support/rehearsal/ranks.h"
#include "titan/components/loss/loss.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/parallel/clip_grad_norm.h"

namespace titan::test::rehearsal {

using config::ActivationCheckpointMode;

/// A rank's gradients by name, and their norm.
using Outcome = std::map<std::string, at::Tensor>;

inline models::llama3::TransformerModelArgs small_args() {
  models::llama3::TransformerModelArgs args;
  args.dim = 24;
  args.n_layers = 3;
  args.n_heads = 4;
  args.n_kv_heads = 2;
  args.vocabulary = 50;
  args.multiple_of = 4;
  args.max_seq_len = 8;
  return args;
}

/// A layout and what is recomputed.
struct Case {
  const char* name;
  mesh::Degrees degrees;
  std::int64_t ranks;
  ActivationCheckpointMode mode;
  const char* option = "op";
  bool early_stop = true;
};

inline at::Tensor tokens(const comm::RankContext& context, std::uint64_t seed) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(
      100 * static_cast<std::uint64_t>(context.rank) + seed);
  return at::randint(50, {2, 8}, generator, at::kLong).to(context.device);
}

/// Two microbatches forward and backward, and the gradients clipped.
inline Outcome gradients(const Case& c, const comm::RankContext& context) {
  config::JobConfig config;
  config.activation_checkpoint.mode = c.mode;
  config.activation_checkpoint.selective_ac_option = c.option;
  config.activation_checkpoint.early_stop = c.early_stop;
  config.training.mixed_precision_param = config::DType::kFloat32;
  models::llama3::Transformer model(small_args(), at::kFloat);
  const auto sharding = models::llama3::parallelize_llama(model, context, config);
  model.to_empty(context.device);
  {
    const c10::NoGradGuard no_grad;
    model.init_weights(at::make_generator<at::CPUGeneratorImpl>(7), context.device);
  }
  // The second time gradients are there already.
  for (std::uint64_t microbatch = 1; microbatch < 3; ++microbatch) {
    const at::Tensor logits = model.call(tokens(context, microbatch));
    components::cross_entropy_loss(logits, tokens(context, microbatch + 10)).backward();
  }
  Outcome outcome;
  parallel::Parameters parameters;
  for (const auto& [name, parameter] : model.named_parameters()) {
    parameters.push_back(parameter);
    if (parameter->tensor.grad().defined()) outcome[name] = parameter->tensor.grad();
  }
  const at::Tensor norm = parallel::total_grad_norm(parameters, context);
  parallel::clip_grads_with_norm_(parameters, 0.5, norm);
  outcome["norm"] = norm;
  for (auto& [name, tensor] : outcome) tensor = tensor.cpu().clone();
  return outcome;
}

/// The largest, in parts of the largest element. Other kernels are chosen for a device that has few of its own.
inline double difference(const at::Tensor& actual, const at::Tensor& expected) {
  const double most = (actual - expected).abs().max().item<double>();
  return std::isfinite(most) ? most / expected.abs().max().item<double>() : 1e30;
}

/// The largest difference of all ranks' outcomes.
inline double difference(const std::map<std::int64_t, Outcome>& actual,
                         const std::map<std::int64_t, Outcome>& expected) {
  double most = actual.size() == expected.size() ? 0 : 1e30;
  for (const auto& [rank, outcome] : expected) {
    const auto found = actual.find(rank);
    if (found == actual.end() || found->second.size() != outcome.size()) return 1e30;
    for (const auto& [name, tensor] : outcome) {
      most = std::max(most, difference(found->second.at(name), tensor));
    }
  }
  return most;
}

/// The outcome on every rank, by `run_ranks(degrees, ranks, body)`.
template <class RunRanks>
std::map<std::int64_t, Outcome> outcomes_of(const Case& c, const RunRanks& run_ranks) {
  std::mutex mutex;
  std::map<std::int64_t, Outcome> outcomes;
  run_ranks(c.degrees, c.ranks, [&](const comm::RankContext& context) {
    Outcome outcome = gradients(c, context);
    const std::lock_guard lock(mutex);
    outcomes[context.rank] = std::move(outcome);
  });
  return outcomes;
}

inline std::map<std::int64_t, Outcome> outcomes_on_cpu(const Case& c) {
  // Devices without kernels of their own have only this one.
  at::globalContext().setSDPUseFlash(false);
  return outcomes_of(c, &on_local_ranks);
}

inline std::map<std::int64_t, Outcome> outcomes_on_devices(const Case& c) {
  return outcomes_of(c, [](const auto& degrees, std::int64_t ranks, const auto& body) {
    on_devices(degrees, ranks, body);
  });
}

}  // namespace titan::test::rehearsal
