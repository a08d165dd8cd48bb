#include "titan/parallel/plan_observer.h"

#include <gtest/gtest.h>

#include "titan/comm/fake_backend.h"
#include "titan/nn/linear.h"
#include "titan/nn/rms_norm.h"
#include "titan/parallel/tensor_parallel.h"

namespace titan::parallel {
namespace {

using Texts = std::vector<std::string>;

class Record : public PlanObserver {
 public:
  void styled(const StyledModule& styled) override { all.push_back(styled); }

  std::vector<StyledModule> all;
};

/// What is shown while the plan is applied to two linear layers and a norm.
std::vector<StyledModule> shown(const TensorPlan& plan, TransferMode transfers = {}) {
  nn::ModuleList model;
  model.append(std::make_unique<nn::Linear>(4, 6, at::kFloat));
  model.append(std::make_unique<nn::Linear>(6, 4, at::kFloat));
  model.append(std::make_unique<nn::RMSNorm>(4, 1e-5, at::kFloat));
  const auto backend = comm::make_fake_backend(2);
  Record record;
  comm::RankContext context;
  context.world_size = 2;
  context.dims = mesh::ParallelDims({.dp_shard = 1, .tp = 2}, 2);
  context.groups =
      std::make_shared<comm::Groups>(*backend, context.dims, 0, std::chrono::seconds(1), nullptr);
  context.plan_observer = &record;
  apply_tensor_parallel(model, plan, context, transfers);
  EXPECT_EQ(record.all.size(), 4U);
  return record.all;
}

const TensorPlan kPlan = {
    {"0", Colwise{.input = Placement::cut(1)}},
    {"1", Rowwise{.output = Placement::cut(1)}},
    {"2", NoParallel{}},
    {"", PrepareInputOutput{{std::nullopt, Move{Placement::cut(0), Placement::shared()}},
                            {Move{Placement::whole(), Placement::shared()}}}},
};

TEST(PlanObserver, SeesEachModuleWithItsStyleAndWhatIsSent) {
  const std::vector<StyledModule> all = shown(kPlan);
  EXPECT_EQ(all[0].name, "0");
  EXPECT_EQ(all[0].style, "Colwise");
  EXPECT_EQ(all[0].parameters.at(0).name, "weight");
  EXPECT_EQ(all[0].forward, Texts{"in: all-gather of dimension 1"});
  EXPECT_EQ(all[0].backward, Texts{"in: reduce-scatter of dimension 1"});
  EXPECT_EQ(all[1].style, "Rowwise");
  EXPECT_EQ(all[1].forward, Texts{"out: reduce-scatter of dimension 1"});
  EXPECT_EQ(all[1].backward, Texts{"out: all-gather of dimension 1"});
  EXPECT_EQ(all[2].style, "NoParallel");
  EXPECT_EQ(all[2].parameters.size(), 1U);
  EXPECT_TRUE(all[2].forward.empty());
  EXPECT_EQ(all[3].style, "PrepareInputOutput");
  EXPECT_TRUE(all[3].parameters.empty()) << "they are other lines'";
  EXPECT_EQ(all[3].forward, Texts{"in 1: all-gather of dimension 0"});
  EXPECT_EQ(all[3].backward, (Texts{"in 1: reduce-scatter of dimension 0", "out: all-reduce"}));
}

TEST(PlanObserver, SeesWhichTransfersOverlap) {
  const std::vector<StyledModule> all = shown(kPlan, TransferMode::kOverlap);
  EXPECT_EQ(all[0].forward, Texts{"in: all-gather of dimension 1, overlapped"});
  EXPECT_EQ(all[1].backward, Texts{"out: all-gather of dimension 1, overlapped"});
  EXPECT_EQ(all[3].forward, Texts{"in 1: all-gather of dimension 0"});
}

}  // namespace
}  // namespace titan::parallel
