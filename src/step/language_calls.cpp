#include "titan/step/language_calls.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/zeros.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/nn/attention_masks.h"
#include "titan/parallel/loss_in_output.h"
#include "titan/parallel/placement.h"
#include "titan/parallel/tensor_parallel.h"

namespace titan::step {

namespace {

void check_documents(const protocols::StepSetup& setup, bool attends_within_documents) {
  const bool document_mask = setup.config.data.document_mask;
  if (document_mask && !attends_within_documents) {
    throw ConfigError(
        "data.document_mask: this model.flavor attends to everything before a token; choose a "
        "flavor with flex or varlen attention");
  }
  const bool has_eos = setup.tokenizer != nullptr && setup.tokenizer->eos_id().has_value();
  if (attends_within_documents && !document_mask && !has_eos) {
    throw ConfigError(
        "model.flavor: attention within documents needs to know where they end: a tokenizer with "
        "an EOS token, or data.document_mask = true");
  }
}

}  // namespace

LanguageCalls::LanguageCalls(const protocols::StepSetup& setup)
    : setup_(setup),
      precision_(precision_of(setup.config.training, setup.context.dims)),
      cut_(parallel::text_cut(setup.context, setup.config.parallelism)) {
  TITAN_CHECK(!setup_.parts.empty(), "a step needs a model");
  for (const protocols::ModelPart& part : setup_.parts) {
    TITAN_CHECK(part.model && part.sharding, "a model part without a model or its sharding");
  }
  if (setup_.loss == nullptr) return;
  check_documents(setup_, model().attends_within_documents());
  if (cut_.is_cut() && model().attends_within_documents()) {
    // Throws where the mask is one that cannot be cut.
    mask_of_part(at::zeros({1, 2 * cut_.ranks},
                           at::TensorOptions().dtype(at::kLong).device(setup_.context.device)));
  }
}

parallel::AutocastScope LanguageCalls::autocast() const {
  return {setup_.context.device.type(), precision_.autocast, at::kBFloat16};
}

nn::SharedSequence LanguageCalls::sequence_of(protocols::Batch& batch, const at::Tensor& tokens,
                                              std::int64_t first, std::int64_t rows) const {
  const auto sequence = cut_.sequence(tokens.size(1), tokens.device());
  if (model().attends_within_documents()) {
    const at::Tensor documents = documents_of(batch, tokens).narrow(0, first, rows);
    sequence->mask = cut_.is_cut() ? mask_of_part(documents) : mask_of(documents);
  }
  return sequence;
}

LanguageCalls::Texts LanguageCalls::texts(const at::Tensor& tokens,
                                          const std::shared_ptr<nn::KeyValueCaches>& caches) const {
  const std::int64_t ranks = setup_.context.dims.degrees().tp;
  Texts texts;
  texts.length = tokens.size(1);
  // Between layers tensor parallelism cuts texts into equal parts; tokens behind a text change nothing before.
  const std::int64_t missing = (ranks - texts.length % ranks) % ranks;
  texts.tokens = at::constant_pad_nd(tokens, {0, missing}).to(setup_.context.device);
  const auto sequence = std::make_shared<nn::SequenceInfo>();
  // What is kept of a text is one document anyway.
  if (model().attends_within_documents() && caches == nullptr) {
    sequence->mask = mask_of(at::zeros_like(texts.tokens));
  }
  if (caches != nullptr && ranks > 1) {
    caches->add_room(ranks - 1);
    const std::int64_t first = caches->length();
    // The table of rotations may end with the text.
    sequence->positions = at::arange(first, first + texts.tokens.size(1), texts.tokens.options())
                              .clamp_max(first + texts.length - 1);
  }
  sequence->caches = caches;
  texts.sequence = sequence;
  return texts;
}

at::Tensor LanguageCalls::logits_of(const at::Tensor& output, const Texts& texts) const {
  const at::Tensor logits = output.narrow(1, 0, texts.length);
  if (!parallel::computes_loss_in_parts(setup_.context.dims, setup_.config.parallelism)) {
    return logits;
  }
  return parallel::redistribute(logits,
                                {parallel::Placement::cut(-1), parallel::Placement::whole()},
                                setup_.context.group(mesh::MeshDim::kTp), vocab_size());
}

std::int64_t LanguageCalls::vocab_size() const {
  // Every rank has the whole tree of modules, with the sizes of what it does not have.
  const auto parameters = setup_.parts.front().model->parameter_names();
  const auto output = std::ranges::find(parameters, "output.weight", &nn::NamedParameter::name);
  TITAN_CHECK(output != parameters.end(), "a language model without an output layer");
  return output->parameter->full_sizes.at(0);
}

at::Tensor LanguageCalls::loss_of(const std::function<at::Tensor()>& call,
                                  const at::Tensor& labels) const {
  const parallel::LabelsScope scope(labels);
  const at::Tensor output = call();
  return scope.has_loss() ? output : setup_.loss(output, labels);
}

at::Tensor LanguageCalls::documents_of(protocols::Batch& batch, const at::Tensor& tokens) const {
  if (!setup_.config.data.document_mask) {
    return nn::documents_by_eos(tokens, *setup_.tokenizer->eos_id());
  }
  const at::Tensor starts = at::from_blob(batch.document_starts.data(), tokens.sizes(), at::kByte)
                                .to(setup_.context.device);
  return nn::documents_by_starts(starts);
}

nn::AttentionMask LanguageCalls::mask_of(const at::Tensor& documents) const {
  const at::ScalarType compute = precision_.autocast ? at::kBFloat16 : precision_.compute;
  return model().document_mask(documents, compute, setup_.context.kernels());
}

/// Of this rank's queries, and the keys of all ranks.
nn::AttentionMask LanguageCalls::mask_of_part(const at::Tensor& documents) const {
  const nn::AttentionMask whole = mask_of(documents);
  if (std::holds_alternative<nn::CausalMask>(whole)) return whole;
  const auto* mask = std::get_if<nn::AllowedMask>(&whole);
  if (mask == nullptr) {
    throw ConfigError(
        "parallelism.context_parallel_degree: attention within documents by flash attention of "
        "packed documents (half "
        "types on a GPU) is not there for documents that are cut over ranks. Train with "
        "training.mixed_precision_param = \"float32\", or choose a flavor that attends to "
        "everything before a token");
  }
  return nn::AllowedMask{cut_.in_rank_order(cut_.part_of(mask->allowed, 2), 3)};
}

}  // namespace titan::step
