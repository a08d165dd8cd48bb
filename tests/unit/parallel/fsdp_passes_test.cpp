// Forward and backward passes over FSDP's units, and units within units: the gradients of one process, in whatever order they
// run.
#include <gtest/gtest.h>

#include "support/local_ranks.h"
#include "titan/parallel/checkpoint_forward.h"
#include "titan/parallel/selective_recompute.h"
#include "unit/parallel/sharded_blocks.h"

namespace titan::parallel {
namespace {

using namespace sharded_blocks;

TEST(FsdpPasses, AUnitWithinAUnitHasItsOwnRanksAndDimension) {
  for (const bool recomputed : {false, true}) {
    SCOPED_TRACE(recomputed ? "recomputed" : "kept");
    test::on_local_ranks({1, 4, 1, 1, 1, 2}, 4, [&](const comm::RankContext& context) {
      Sharded sharded;
      for (Block* block : sharded.model.blocks()) {
        if (!recomputed) continue;
        block->wrap_forward([](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
          return checkpoint_forward(forward, inputs, {});
        });
      }
      shard(sharded, context, /*experts_apart=*/true);
      EXPECT_EQ(
          sharded.model.blocks()[0]->submodule("experts").named_parameters()[0].tensor().sizes(),
          (at::IntArrayRef{kExperts, kWidth, kWidth / 2}));
      for (int step = 0; step < 2; ++step) {
        for (const auto& [name, parameter] : sharded.model.named_parameters()) {
          parameter->tensor.mutable_grad().reset();
        }
        loss_of(sharded.model, rows(context.rank, 4)).backward();
        expect_close(full_gradients(sharded.model, context));
      }
    });
  }
}

TEST(FsdpPasses, MicrobatchesMayRunForwardBeforeOneRunsBackward) {
  for (const bool experts_apart : {false, true}) {
    test::on_local_ranks({1, 4, 1, 1, 1, 2}, 4, [&](const comm::RankContext& context) {
      Sharded sharded;
      shard(sharded, context, experts_apart);
      const at::Tensor first = loss_of(sharded.model, rows(2 * context.rank, 8));
      const at::Tensor second = loss_of(sharded.model, rows(2 * context.rank + 1, 8));
      first.backward();
      second.backward();
      expect_close(full_gradients(sharded.model, context));
    });
  }
}

TEST(FsdpPasses, MicrobatchesMayShareOneBackward) {
  test::on_local_ranks({1, 2}, 2, [](const comm::RankContext& context) {
    Sharded sharded;
    shard(sharded, context, /*experts_apart=*/false);
    const at::Tensor first = loss_of(sharded.model, rows(2 * context.rank, 4));
    const at::Tensor second = loss_of(sharded.model, rows(2 * context.rank + 1, 4));
    (first + second).backward();
    expect_close(full_gradients(sharded.model, context));
  });
}

/// Every block runs forward again in backward, and stops when it may; with `by_operator` some results are kept.
void checkpoint_blocks(Model& model, bool by_operator) {
  CheckpointOptions options;
  options.early_stop = true;
  if (by_operator) {
    const auto policy = std::make_shared<OperatorSavePolicy>(default_save_policy());
    options.selective_modes = [policy] { return selective_modes(policy); };
  }
  for (Block* block : model.blocks()) {
    block->wrap_forward([options](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
      return checkpoint_forward(forward, inputs, options);
    });
  }
}

TEST(FsdpPasses, ARecomputationMayStopWithinAUnitWithinAUnit) {
  for (const bool by_operator : {false, true}) {
    SCOPED_TRACE(by_operator);
    test::on_local_ranks({1, 4, 1, 1, 1, 2}, 4, [&](const comm::RankContext& context) {
      Sharded sharded;
      checkpoint_blocks(sharded.model, by_operator);
      shard(sharded, context, /*experts_apart=*/true);
      for (int step = 0; step < 2; ++step) {
        for (const auto& [name, parameter] : sharded.model.named_parameters()) {
          parameter->tensor.mutable_grad().reset();
        }
        loss_of(sharded.model, rows(context.rank, 4)).backward();
        expect_close(full_gradients(sharded.model, context));
      }
    });
  }
}

/// One forward, one backward in turns, as a pipeline's stage does when it is warm.
TEST(FsdpPasses, ForwardsRunBetweenTheBackwardsOfOthers) {
  for (const bool stays : {false, true}) {
    SCOPED_TRACE(stays ? "gathered once" : "gathered for every pass");
    test::on_local_ranks({1, 4, 1, 1, 1, 2}, 4, [&](const comm::RankContext& context) {
      Sharded sharded;
      checkpoint_blocks(sharded.model, /*by_operator=*/true);
      shard(sharded, context, /*experts_apart=*/true);
      Fsdp& fsdp = *sharded.fsdp;
      if (stays) {
        fsdp.set_requires_gradient_sync(false);
        fsdp.set_reshard_after_backward(false);
        fsdp.unshard();
      }
      const auto forward = [&](int i) {
        return loss_of(sharded.model, rows(4 * context.rank + i, 16));
      };
      at::Tensor before = forward(0);
      for (int i = 1; i < 4; ++i) {
        const at::Tensor next = forward(i);
        before.backward();
        before = next;
      }
      before.backward();
      if (stays) {
        fsdp.reshard();
        fsdp.reduce_gradients();
      }
      expect_close(full_gradients(sharded.model, context));
    });
  }
}

}  // namespace
}  // namespace titan::parallel
