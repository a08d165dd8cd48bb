#include "titan/step/one_model.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/allclose.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/components/loss/loss.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/args.h"
#include "titan/models/llama3/model.h"
#include "titan/step/batch_tensors.h"
#include "titan/step/module_listing.h"

namespace titan::step {
namespace {

using Ids = std::vector<std::int64_t>;

/// Knows EOS or not; nothing else is asked of it.
class EosTokenizer final : public protocols::Tokenizer {
 public:
  explicit EosTokenizer(std::optional<std::int64_t> eos) : eos_(eos) {}
  Ids encode(std::string_view, bool, bool) const override { return {}; }
  std::string decode(const Ids&, bool) const override { return {}; }
  std::int64_t vocab_size() const override { return 100; }
  std::optional<std::int64_t> bos_id() const override { return {}; }
  std::optional<std::int64_t> eos_id() const override { return eos_; }
  std::optional<std::int64_t> token_to_id(std::string_view) const override { return {}; }
  std::optional<std::string> id_to_token(std::int64_t) const override { return {}; }

 private:
  std::optional<std::int64_t> eos_;
};

protocols::ModelParts small_model(bool by_document) {
  models::llama3::TransformerModelArgs args;
  args.dim = 16;
  args.n_layers = 1;
  args.n_heads = 2;
  args.multiple_of = 16;
  args.vocabulary = 100;
  args.max_seq_len = 8;
  if (by_document) args.attn_mask_type = models::llama3::AttentionMaskType::kBlockCausal;
  auto model = std::make_unique<models::llama3::Transformer>(args, at::kFloat);
  model->to_empty(at::kCPU);
  const c10::NoGradGuard no_grad;
  model->init_weights(at::make_generator<at::CPUGeneratorImpl>(1), std::nullopt);
  protocols::ModelParts parts;
  parts.push_back({std::move(model), std::make_shared<parallel::Sharding>()});
  return parts;
}

/// What a step of these parts on one rank is made of.
struct Job {
  comm::RankContext context;
  config::JobConfig config;

  Job() { config.training.mixed_precision_param = config::DType::kFloat32; }
  protocols::StepSetup setup(const protocols::ModelParts& parts,
                             const protocols::Tokenizer* tokenizer = nullptr) const {
    return {parts, context, config, components::cross_entropy_loss, tokenizer};
  }
};

/// Two documents in one row: 5 6 7 0, and 8 9 10 0. 0 is EOS.
protocols::Batch two_documents() {
  protocols::Batch batch;
  batch.rows = 1;
  batch.seq_len = 8;
  batch.input = {5, 6, 7, 0, 8, 9, 10, 0};
  batch.labels = {6, 7, 0, 8, 9, 10, 0, 5};
  batch.document_starts = {1, 0, 0, 0, 1, 0, 0, 0};
  return batch;
}

double loss(const protocols::ModelParts& parts, const protocols::Tokenizer& tokenizer,
            bool document_mask, protocols::Batch batch = two_documents()) {
  Job job;
  job.config.data.document_mask = document_mask;
  return OneModel(job.setup(parts, &tokenizer)).loss_sum(batch).item<double>();
}

TEST(OneModel, DocumentsEndAtEosOrBeginWhereTheBatchSaysSo) {
  const auto model = small_model(/*by_document=*/true);
  const EosTokenizer tokenizer(0);
  EXPECT_EQ(loss(model, tokenizer, false), loss(model, tokenizer, true));
  protocols::Batch one_document = two_documents();
  one_document.document_starts[4] = 0;
  EXPECT_NE(loss(model, tokenizer, true, one_document), loss(model, tokenizer, true));
  EXPECT_EQ(loss(model, tokenizer, false, one_document), loss(model, tokenizer, false))
      << "by EOS, the batch is not asked";
}

TEST(OneModel, StartsNeedNoEos) {
  const auto model = small_model(/*by_document=*/true);
  EXPECT_EQ(loss(model, EosTokenizer({}), true), loss(model, EosTokenizer(0), true));
}

TEST(OneModel, RefusesMasksThatNobodyCanMake) {
  const auto masked = small_model(/*by_document=*/true);
  EXPECT_NE(test::message_of<ConfigError>([&] {
              loss(masked, EosTokenizer({}), false);
            }).find("data.document_mask = true"),
            std::string::npos);
  const auto causal = small_model(/*by_document=*/false);
  EXPECT_NE(test::message_of<ConfigError>([&] {
              loss(causal, EosTokenizer(0), true);
            }).find("flex or varlen"),
            std::string::npos);
}

TEST(OneModel, LogitsSeeARowAsOneDocument) {
  const EosTokenizer tokenizer(0);
  protocols::Batch batch = two_documents();
  const at::Tensor tokens = to_tensors(batch, at::kCPU).input;
  at::Tensor logits[2];
  for (const bool by_document : {false, true}) {
    const auto model = small_model(by_document);
    const Job job;
    logits[by_document] = OneModel(job.setup(model, &tokenizer)).logits(tokens, nullptr);
  }
  EXPECT_TRUE(at::allclose(logits[0], logits[1], 1e-5, 1e-6));
}

TEST(BatchTensors, OnACpuAreViewsAlsoWherePinnedMemoryIsAskedFor) {
  protocols::Batch batch = two_documents();
  for (const bool pinned : {false, true}) {
    EXPECT_EQ(to_tensors(batch, at::kCPU, pinned).input.data_ptr(), batch.input.data());
  }
}

TEST(ModuleListing, NamesEveryModuleWithItsOwnParameters) {
  const protocols::ModelParts model = small_model(/*by_document=*/false);
  const std::string text = module_listing(*model.front().model);
  EXPECT_EQ(text.substr(0, text.find('\n')), "Transformer");
  EXPECT_NE(text.find("  tok_embeddings: Embedding(weight [100, 16] Float)\n"), std::string::npos)
      << text;
  EXPECT_NE(text.find("      wq: Linear(weight [16, 16] Float)\n"), std::string::npos) << text;
}

TEST(BatchTensors, LabelsThatAreNotTrainedOnDoNotCount) {
  protocols::Batch batch = two_documents();
  EXPECT_EQ(count_valid_tokens({batch, batch}), 16);
  std::fill(batch.labels.begin(), batch.labels.end(), protocols::kIgnoreIndex);
  EXPECT_EQ(count_valid_tokens({batch, two_documents()}), 8);
}

}  // namespace
}  // namespace titan::step
