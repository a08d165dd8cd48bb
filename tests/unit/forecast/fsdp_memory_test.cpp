#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <c10/util/accumulate.h>
#include <gtest/gtest.h>

#include <map>

#include "forecast/memory_tracker.h"
#include "support/local_ranks.h"
#include "titan/models/llama3/model.h"
#include "titan/parallel/fsdp.h"

namespace titan::parallel {
namespace {

constexpr std::int64_t kVocabulary = 64;

struct ShardedLlama {
  ShardedLlama(std::int64_t layers, comm::ProcessGroup& group, bool reshard = true) {
    models::llama3::TransformerModelArgs args;
    args.dim = 64;
    args.n_layers = layers;
    args.n_heads = 4;
    args.vocabulary = kVocabulary;
    args.multiple_of = 16;
    args.max_seq_len = 8;
    model = std::make_unique<models::llama3::Transformer>(args, at::kFloat);
    fsdp = Fsdp::create(*model, {});
    UnitOptions unit;
    unit.shard = &group;
    unit.reshard_after_forward = reshard;
    fsdp->wrap({&model->submodule("tok_embeddings")}, unit);
    for (const auto& [name, layer] : model->submodule("layers").named_children()) {
      std::int64_t elements = 0;
      for (const nn::NamedParameter& parameter : layer->named_parameters()) {
        elements += parameter.tensor().numel();
      }
      layer_bytes = elements * 4;
      fsdp->wrap({layer}, unit);
    }
    unit.reshard_after_forward = false;
    fsdp->wrap({&model->submodule("norm"), &model->submodule("output")}, unit);
    fsdp->wrap_root(unit);
    model->to_empty(at::kCPU);
    const c10::NoGradGuard no_grad;
    model->init_weights(at::make_generator<at::CPUGeneratorImpl>(7), std::nullopt);
  }

  at::Tensor forward() {
    const at::Tensor tokens = at::zeros({1, 8}, at::kLong);
    return at::cross_entropy_loss(model->call(tokens).flatten(0, 1), tokens.flatten());
  }

  std::unique_ptr<models::llama3::Transformer> model;
  std::shared_ptr<Fsdp> fsdp;
  std::int64_t layer_bytes = 0;  // of the full parameters of one layer
};

TEST(FsdpMemory, ARankHoldsExactlyItsPartOfParametersAndGradients) {
  for (const std::int64_t ranks : {2, 4, 8}) {
    test::on_local_ranks({1, ranks}, ranks, [&](const comm::RankContext& context) {
      ShardedLlama llama(2, context.groups->world());
      llama.forward().backward();
      std::map<const void*, std::size_t> held;  // storages, which several gradients may share
      std::size_t full = 0;
      for (const auto& [name, parameter] : llama.model->named_parameters()) {
        for (const at::Tensor& tensor : {parameter->tensor, parameter->tensor.grad()}) {
          held[tensor.storage().unsafeGetStorageImpl()] = tensor.storage().nbytes();
        }
        full += 2 * 4 * static_cast<std::size_t>(c10::multiply_integers(parameter->full_sizes));
      }
      std::size_t held_bytes = 0;
      for (const auto& [storage, bytes] : held) held_bytes += bytes;
      EXPECT_EQ(held_bytes * static_cast<std::size_t>(ranks), full);
    });
  }
}

TEST(FsdpMemory, AtMostTwoUnitsAreUnshardedAtOnceInBackward) {
  test::on_local_ranks({1, 2}, 2, [](const comm::RankContext& context) {
    ShardedLlama llama(6, context.groups->world());
    const at::Tensor loss = llama.forward();
    EXPECT_GT(llama.fsdp->take_peak_unsharded_bytes(), 0);
    loss.backward();
    EXPECT_LE(llama.fsdp->take_peak_unsharded_bytes(), 2 * llama.layer_bytes);
  });
}

/// The most bytes of communication buffers and full parameters in a step, as the allocator saw it.
std::int64_t peak_buffers(std::int64_t layers, bool reshard) {
  std::int64_t result = 0;
  test::on_local_ranks({1, 2}, 2, [&](const comm::RankContext& context) {
    ShardedLlama llama(layers, context.groups->world(), reshard);
    const auto tracker = std::make_shared<forecast::MemoryTracker>();
    const forecast::TrackingScope scope(tracker, forecast::Memory::kReal);
    llama.forward().backward();
    if (context.rank == 0) result = tracker->peak().total();
  });
  return result;
}

TEST(FsdpMemory, BuffersDoNotGrowWithTheNumberOfLayers) {
  std::int64_t layer_bytes = 0;
  test::on_local_ranks({1, 2}, 2, [&](const comm::RankContext& context) {
    if (context.rank == 0) layer_bytes = ShardedLlama(1, context.groups->world()).layer_bytes;
  });
  // Two ranks' gradients of eight more layers, half of each here, and activations of a few rows.
  const std::int64_t gradients = 8 * layer_bytes / 2;
  EXPECT_LT(peak_buffers(12, true) - peak_buffers(4, true), gradients + layer_bytes / 2);
  EXPECT_GT(peak_buffers(12, false) - peak_buffers(4, false), 8 * layer_bytes)
      << "the test sees full parameters that are kept";
}

}  // namespace
}  // namespace titan::parallel
