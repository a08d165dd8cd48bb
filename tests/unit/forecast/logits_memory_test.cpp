// What the last layer and the loss need on tensor-parallel ranks, where the vocabulary outweighs the rest.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/randint.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "forecast/memory_tracker.h"
#include "support/local_ranks.h"
#include "titan/base/errors.h"
#include "titan/components/loss/loss.h"
#include "titan/components/loss/vocabulary_parallel_loss.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/parallel/tensor_parallel.h"

namespace titan::forecast {
namespace {

constexpr std::int64_t kTokens = 256;
constexpr std::int64_t kVocabulary = 16384;
constexpr double kLogits = 4.0 * kTokens * kVocabulary;  // bytes of whole ones

models::llama3::TransformerModelArgs args() {
  models::llama3::TransformerModelArgs result;
  result.dim = 16;
  result.n_layers = 1;
  result.n_heads = 4;
  result.vocabulary = kVocabulary;
  result.multiple_of = 4;
  result.max_seq_len = kTokens;
  return result;
}

/// Bytes that forward and backward of rank 0 need at their peak beside what was there before.
double peak_of_a_step(const comm::RankContext& context, const config::JobConfig& config) {
  const auto tracker = std::make_shared<MemoryTracker>();
  const TrackingScope tracking(tracker, Memory::kReal);
  models::llama3::Transformer model(args(), at::kFloat);
  models::llama3::parallelize_llama(model, context, config);
  model.to_empty(at::kCPU);
  {
    const c10::NoGradGuard no_grad;
    model.init_weights(at::make_generator<at::CPUGeneratorImpl>(7), std::nullopt);
  }
  const at::Tensor tokens = at::randint(kVocabulary, {1, kTokens},
                                        at::make_generator<at::CPUGeneratorImpl>(1), at::kLong);
  const std::int64_t before = tracker->live().total();
  tracker->reset_peak();
  const at::Tensor logits = model.call(tokens);
  const at::Tensor loss = parallel::computes_loss_in_parts(context.dims, config.parallelism)
                              ? components::vocabulary_parallel_cross_entropy_loss(
                                    logits, tokens, kVocabulary, context.group(mesh::MeshDim::kTp))
                              : components::cross_entropy_loss(logits, tokens);
  loss.backward();
  return static_cast<double>(tracker->peak().total() - before);
}

double peak(std::int64_t ranks, bool in_parts) {
  config::JobConfig config;
  config.parallelism.tensor_parallel_degree = ranks;
  config.parallelism.disable_loss_parallel = !in_parts;
  config.training.mixed_precision_param = config::DType::kFloat32;
  config.activation_checkpoint.mode = config::ActivationCheckpointMode::kNone;
  double result = 0;
  titan::test::on_local_ranks(config.parallelism.degrees(), ranks,
                              [&](const comm::RankContext& context) {
                                const double bytes = peak_of_a_step(context, config);
                                if (context.rank == 0) result = bytes;
                              });
  return result;
}

TEST(MemoryOfLogits, FallsWithTheDegreeWhereTheLossIsComputedInParts) {
  const double two = peak(2, /*in_parts=*/true);
  const double four = peak(4, /*in_parts=*/true);
  RecordProperty("bytes_of_2_ranks", std::to_string(two));
  RecordProperty("bytes_of_4_ranks", std::to_string(four));
  EXPECT_NEAR(two / four, 2.0, 0.2);
  // A rank's logits, and their gradient.
  EXPECT_NEAR(two / (kLogits / 2), 2.0, 0.3);
  EXPECT_NEAR(four / (kLogits / 4), 2.0, 0.3);
  for (const auto& [ranks, parts] : {std::pair(2, two), std::pair(4, four)}) {
    const double whole = peak(ranks, /*in_parts=*/false);
    RecordProperty(concat("bytes_of_", ranks, "_ranks_with_whole_logits"), std::to_string(whole));
    EXPECT_GT(whole, 2 * kLogits) << ranks;
    EXPECT_GT(whole, ranks * parts * 0.95) << ranks;
  }
}

}  // namespace
}  // namespace titan::forecast
