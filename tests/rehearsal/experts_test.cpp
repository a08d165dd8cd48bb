// How often the host waits in a layer of experts on several ranks: once, for how many rows are sent.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "support/one_mixture.h"
#include "support/rehearsal/device.h"
#include "support/rehearsal/ranks.h"
#include "titan/config/job_config.h"
#include "titan/parallel/activation_checkpoint.h"
#include "titan/parallel/expert_parallel.h"

namespace titan::test::rehearsal {
namespace {

/// Of a rank, in forward and in backward.
std::pair<std::uint64_t, std::uint64_t> waits(config::ActivationCheckpointMode mode) {
  std::pair<std::uint64_t, std::uint64_t> result;
  const mesh::Degrees degrees{.dp_shard = 2, .ep = 2};
  on_devices(degrees, 2, [&](const comm::RankContext& context) {
    OneMixture model;
    parallel::apply_expert_parallel(model, "moe", context);
    config::ActivationCheckpoint config;
    config.mode = mode;
    parallel::apply_ac(model, "moe", config, parallel::expert_save_policy(context.dims));
    model.to_empty(context.device);
    {
      const c10::NoGradGuard no_grad;
      model.moe().init_weights(0.3, context.generator, std::nullopt);
    }
    const at::Tensor x = at::randn({1, 6, 8}, at::make_generator<at::CPUGeneratorImpl>(1))
                             .to(context.device)
                             .set_requires_grad(true);
    const auto so_far = [&] {
      return Machine::instance().synchronizations(context.device.index());
    };
    const std::uint64_t before = so_far();
    const at::Tensor y = model.call(x);
    const std::uint64_t between = so_far();
    (y * y).sum().backward();
    if (context.rank == 0) result = {between - before, so_far() - between};
  });
  return result;
}

TEST(Experts, TheHostWaitsOnceForHowManyRowsAreSent) {
  use_rehearsal_device();
  constexpr std::pair<std::uint64_t, std::uint64_t> kOnce = {1, 0};
  EXPECT_EQ(waits(config::ActivationCheckpointMode::kNone), kOnce);
  EXPECT_EQ(waits(config::ActivationCheckpointMode::kFull), kOnce) << "kept, not asked for again";
}

}  // namespace
}  // namespace titan::test::rehearsal
