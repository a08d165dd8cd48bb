#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "support/logits_only.h"
#include "titan/base/errors.h"
#include "titan/components/generate/generate.h"
#include "titan/models/llama3/model.h"
#include "titan/nn/attention_masks.h"
#include "titan/nn/key_value_cache.h"

namespace titan::components {
namespace {

using Ids = std::vector<std::int64_t>;

constexpr std::int64_t kContext = 640;

std::unique_ptr<models::llama3::Transformer> make_model(std::int64_t kv_heads,
                                                        at::ScalarType dtype = at::kFloat) {
  models::llama3::TransformerModelArgs args;
  args.dim = 48;
  args.n_layers = 3;
  args.n_heads = 4;
  args.n_kv_heads = kv_heads;
  args.vocabulary = 300;
  args.multiple_of = 32;
  args.rope_theta = 500000;
  args.max_seq_len = kContext;
  auto model = std::make_unique<models::llama3::Transformer>(args, dtype);
  model->to_empty(at::kCPU);
  const c10::NoGradGuard no_grad;
  model->init_weights(at::make_generator<at::CPUGeneratorImpl>(7), at::Device(at::kCPU));
  return model;
}

/// Calls the model and counts the tokens that went through it.
class Counted : public test::LogitsOnly {
 public:
  explicit Counted(nn::Module& module, bool cached = true, nn::AttentionMask mask = {})
      : module_(module), cached_(cached), mask_(std::move(mask)) {}
  at::Tensor logits(const at::Tensor& tokens, std::shared_ptr<nn::KeyValueCaches> caches) override {
    count += tokens.size(1);
    longest = std::max(longest, tokens.size(1));
    const bool masks = caches == nullptr && !std::holds_alternative<nn::CausalMask>(mask_);
    nn::AttentionMask mask;
    if (masks) mask = nn::block_causal_mask(at::zeros_like(tokens));
    return module_.call(tokens, std::make_shared<const nn::SequenceInfo>(
                                    nn::SequenceInfo{mask, {}, std::move(caches), {}}));
  }
  bool keeps_keys_and_values() const override { return cached_; }

  std::int64_t count = 0;
  std::int64_t longest = 0;

 private:
  nn::Module& module_;
  bool cached_;
  nn::AttentionMask mask_;
};

Ids text_of(std::int64_t length) {
  Ids ids;
  for (std::int64_t i = 0; i < length; ++i) ids.push_back((i * i * 31 + 7) % 300);
  return ids;
}

Ids continue_text(protocols::StepRunner& model, const Ids& prompt, SamplingOptions options) {
  return generate(model, prompt, options, at::make_generator<at::CPUGeneratorImpl>(3));
}

Ids continue_text(protocols::StepRunner&& model, const Ids& prompt, SamplingOptions options) {
  return continue_text(model, prompt, options);
}

SamplingOptions greedy(std::int64_t tokens) {
  SamplingOptions options;
  options.max_new_tokens = tokens;
  options.temperature = 0;
  options.context = kContext;
  return options;
}

/// By the number of key heads, of 4 heads.
class KeyHeads : public testing::TestWithParam<std::int64_t> {};

TEST_P(KeyHeads, MakeTheSameTextAsWithoutACache) {
  const auto module = make_model(GetParam());
  for (const std::int64_t prompt : {1, 2, 17, 100, 513, 560}) {
    Counted with(*module);
    Counted without(*module, false);
    EXPECT_EQ(continue_text(with, text_of(prompt), greedy(64)),
              continue_text(without, text_of(prompt), greedy(64)))
        << "prompt of " << prompt;
    EXPECT_EQ(with.count, prompt + 63);
    EXPECT_LE(with.longest, 512) << "long prompts go in parts";
    EXPECT_EQ(without.count, 64 * prompt + 63 * 64 / 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Generate, KeyHeads, testing::Values(1, 2, 4),
                         testing::PrintToStringParamName());

TEST(GenerateWithACache, DrawsTheSameTokens) {
  const auto module = make_model(2);
  SamplingOptions options = greedy(64);
  options.temperature = 1;
  options.top_k = 20;
  EXPECT_EQ(continue_text(Counted(*module), text_of(9), options),
            continue_text(Counted(*module, false), text_of(9), options));
}

// Kernels for one query and for many round differently, so that nearly equal logits may change
// places: what is chosen must be the likeliest up to rounding.
TEST(GenerateWithACache, AgreesToRoundingInBfloat16) {
  constexpr double kRounding = 0.06;  // logits are about 3: two units in the last place, and some
  for (const std::int64_t kv_heads : {2, 4}) {
    const auto module = make_model(kv_heads, at::kBFloat16);
    for (const std::int64_t prompt : {1, 33}) {
      const Ids start = text_of(prompt);
      Ids ids = start;
      const Ids text = continue_text(Counted(*module), start, greedy(64));
      ASSERT_EQ(text.size(), 64);
      ids.insert(ids.end(), text.begin(), text.end());
      const c10::NoGradGuard no_grad;
      const at::Tensor logits =
          module->call(at::tensor(at::ArrayRef<std::int64_t>(ids), at::kLong).unsqueeze(0))[0].to(
              at::kFloat);
      for (std::int64_t i = 0; i < 64; ++i) {
        const at::Tensor row = logits[prompt - 1 + i];
        EXPECT_GE(row[text[static_cast<std::size_t>(i)]].item<double>(),
                  row.max().item<double>() - kRounding);
      }
    }
  }
}

TEST(GenerateWithACache, TextsThatOutgrowTheContextSlide) {
  const auto module = make_model(2);
  SamplingOptions options = greedy(40);
  options.context = 24;
  for (const std::int64_t prompt : {10, 24, 30}) {
    Counted with(*module);
    EXPECT_EQ(continue_text(with, text_of(prompt), options),
              continue_text(Counted(*module, false), text_of(prompt), options));
    EXPECT_LE(with.longest, 24);
  }
}

TEST(GenerateWithACache, TakesATextForOneDocument) {
  const auto module = make_model(2);
  const nn::AttentionMask by_document = nn::AllowedMask{};
  EXPECT_EQ(continue_text(Counted(*module, true, by_document), text_of(20), greedy(40)),
            continue_text(Counted(*module, false, by_document), text_of(20), greedy(40)));
}

TEST(GenerateWithACache, LeavesTheModelAsItWas) {
  const auto module = make_model(4);
  const c10::NoGradGuard no_grad;
  const at::Tensor tokens = at::tensor(at::ArrayRef<std::int64_t>(text_of(50)), at::kLong);
  const at::Tensor before = module->call(tokens.unsqueeze(0));
  continue_text(Counted(*module), text_of(5), greedy(8));
  EXPECT_TRUE(module->call(tokens.unsqueeze(0)).equal(before));
}

TEST(KeyValueCaches, RefuseMoreTokensThanTheyHaveRoomFor) {
  const auto module = make_model(4);
  const c10::NoGradGuard no_grad;
  Counted model(*module);
  const auto caches = std::make_shared<nn::KeyValueCaches>(8);
  const auto call = [&](std::int64_t length) {
    model.logits(at::tensor(at::ArrayRef<std::int64_t>(text_of(length)), at::kLong).unsqueeze(0),
                 caches);
  };
  call(6);
  EXPECT_THROW(call(3), InternalError);
}

}  // namespace
}  // namespace titan::components
