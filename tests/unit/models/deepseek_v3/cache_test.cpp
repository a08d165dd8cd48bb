// What is kept of a text that is being written: latents, of all heads together, or keys and values.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "support/local_ranks.h"
#include "titan/config/job_config.h"
#include "titan/models/deepseek_v3/attention.h"
#include "titan/models/deepseek_v3/model.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/nn/key_value_cache.h"
#include "titan/parallel/linear_extension.h"

namespace titan::models::deepseek_v3 {
namespace {

constexpr std::int64_t kLength = 48;
/// A token, a part of a prompt, tokens one by one and a few at a time, a part that gains nothing among latents.
const std::vector<std::int64_t> kParts = {1, 6, 1, 1, 1, 2, 4, 20, 1, 3, 8};
const std::vector<std::int64_t> kEvenParts = {2, 6, 2, 2, 4, 20, 2, 2, 8};

DeepSeekV3ModelArgs small_args() {
  DeepSeekV3ModelArgs args =
      *std::dynamic_pointer_cast<const DeepSeekV3ModelArgs>(flavors().at("tiny"));
  args.max_seq_len = kLength;
  return args;
}

void draw(Transformer& model) {
  const c10::NoGradGuard no_grad;
  model.to_empty(at::kCPU);
  model.init_weights(at::make_generator<at::CPUGeneratorImpl>(3), std::nullopt);
  for (const nn::NamedParameter& parameter : model.named_parameters()) {
    if (parameter.tensor().dim() > 1) parameter.tensor().mul_(5);  // or attention would be even
  }
}

std::unique_ptr<Transformer> make_model(at::ScalarType dtype = at::kFloat) {
  auto model = std::make_unique<Transformer>(small_args(), dtype);
  draw(*model);
  return model;
}

at::Tensor text() { return (at::arange(2 * kLength, at::kLong) * 37 % 2039).view({2, kLength}); }

/// Bytes that the caches of the text have taken, after every part's logits were held against those of the whole text.
std::int64_t expect_logits_of_whole_text(Transformer& model, double tolerance,
                                         const std::vector<std::int64_t>& lengths = kParts) {
  const c10::NoGradGuard no_grad;
  const at::Tensor whole = model.call(text());
  const auto sequence = std::make_shared<nn::SequenceInfo>();
  sequence->caches = std::make_shared<nn::KeyValueCaches>(kLength);
  std::int64_t begin = 0;
  for (const std::int64_t length : lengths) {
    const at::Tensor part = model.call(text().narrow(1, begin, length), sequence);
    const at::Tensor off = (part - whole.narrow(1, begin, length)).abs().max();
    EXPECT_LT(off.item<double>(), tolerance * whole.abs().max().item<double>())
        << length << " tokens behind " << begin;
    begin += length;
  }
  EXPECT_EQ(begin, kLength);
  return sequence->caches->bytes();
}

/// Of so many numbers for each token and layer.
std::int64_t bytes_of(std::int64_t numbers, std::int64_t bytes_each = 4) {
  return 2 * kLength * small_args().n_layers * numbers * bytes_each;
}

std::int64_t latent_numbers() { return small_args().kv_lora_rank + small_args().qk_rope_head_dim; }

std::int64_t key_and_value_numbers() {
  return small_args().n_heads * (small_args().qk_head_dim() + small_args().v_head_dim);
}

LatentAttention& attention(Transformer& model, std::int64_t layer) {
  return dynamic_cast<LatentAttention&>(
      model.submodule("layers." + std::to_string(layer) + ".attention"));
}

TEST(DeepSeekCache, KeepsALatentForEachToken) {
  EXPECT_EQ(expect_logits_of_whole_text(*make_model(), 1e-5), bytes_of(latent_numbers()));
}

TEST(DeepSeekCache, KeepsALatentInBfloat16) {
  const auto model = make_model(at::kBFloat16);
  EXPECT_EQ(expect_logits_of_whole_text(*model, 3e-2), bytes_of(latent_numbers(), 2));
}

TEST(DeepSeekCache, KeepsKeysAndValuesWhereItIsTold) {
  const auto model = make_model();
  for (std::int64_t layer = 0; layer < small_args().n_layers; ++layer) {
    attention(*model, layer).keep_keys_and_values();
  }
  EXPECT_EQ(expect_logits_of_whole_text(*model, 1e-5), bytes_of(key_and_value_numbers()));
}

TEST(DeepSeekCache, NeedsASeventyFirstOfTheMemoryInTheLargestModel) {
  const auto args = std::dynamic_pointer_cast<const DeepSeekV3ModelArgs>(flavors().at("671B"));
  const std::int64_t latents = args->kv_lora_rank + args->qk_rope_head_dim;
  EXPECT_EQ(latents, 576);
  EXPECT_EQ(args->n_heads * (args->qk_head_dim() + args->v_head_dim) / latents, 71);
}

/// A converter's: the products of these modules are made elsewhere.
class OtherProducts : public parallel::LinearExtension {
 public:
  explicit OtherProducts(nn::Linear& linear) : linear_(linear) {
    linear.wrap_forward([](const nn::Module::Forward& multiply, const nn::Inputs& inputs) {
      return nn::Tensors{multiply(inputs).at(0) * 0.5};
    });
  }
  bool multiplies(const nn::Module& linear) const override { return &linear == &linear_; }

 private:
  const nn::Module& linear_;
};

TEST(DeepSeekCache, LeavesProductsToWhoMakesThem) {
  const auto model = std::make_unique<Transformer>(small_args(), at::kFloat);
  const auto other = std::make_shared<OtherProducts>(
      dynamic_cast<nn::Linear&>(model->submodule("layers.1.attention.wkv_b")));
  {
    const parallel::LinearExtensionScope scope(other);
    parallelize_deepseekv3(*model, comm::RankContext(), config::JobConfig());
  }
  draw(*model);
  EXPECT_EQ(expect_logits_of_whole_text(*model, 1e-5),
            (bytes_of(latent_numbers()) * 2 + bytes_of(key_and_value_numbers())) / 3);
}

TEST(DeepSeekCache, KeepsLatentsOfAllHeadsOnEveryRankOfTensorParallelism) {
  test::on_local_ranks({.tp = 2}, 2, [](const comm::RankContext& context) {
    const c10::NoGradGuard no_grad;
    Transformer model(small_args(), at::kFloat);
    config::JobConfig config;
    config.parallelism.disable_loss_parallel = true;
    const auto sharding = parallelize_deepseekv3(model, context, config);
    draw(model);
    EXPECT_EQ(expect_logits_of_whole_text(model, 1e-5, kEvenParts), bytes_of(latent_numbers()));
  });
}

TEST(DeepSeekCache, MakesTheSameText) {
  const c10::NoGradGuard no_grad;
  const auto model = make_model();
  const auto sequence = std::make_shared<nn::SequenceInfo>();
  sequence->caches = std::make_shared<nn::KeyValueCaches>(kLength);
  at::Tensor tokens = text().narrow(1, 0, kLength - 32);
  at::Tensor last = tokens;
  for (int i = 0; i < 32; ++i) {
    const at::Tensor anew = model->call(tokens).select(1, -1).argmax(-1);
    last = model->call(last, sequence).select(1, -1).argmax(-1).unsqueeze(1);
    EXPECT_TRUE(last.squeeze(1).equal(anew)) << "token " << i;
    tokens = at::cat({tokens, last}, 1);
  }
}

}  // namespace
}  // namespace titan::models::deepseek_v3
