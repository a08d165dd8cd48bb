// Models with experts in pipelines and on expert-parallel ranks: they train as one process does, the same way every time.
#include <cmath>
#include <cstdlib>

#include "unit/step/expert_job.h"

namespace titan::step::experts {
namespace {

bool runs_matrix() { return std::getenv("TITAN_EXPERT_MATRIX") != nullptr; }

constexpr mesh::Degrees kPp2Ep2 = {.dp_shard = 2, .pp = 2, .ep = 2};

std::vector<Job> for_every_model(const std::vector<Job>& jobs) {
  std::vector<Job> result;
  for (const auto& [model, name] : {std::pair(Model::kDeepSeekV3, "deepseek_v3"),
                                    {Model::kQwen3, "qwen3"},
                                    {Model::kLlama4, "llama4"}}) {
    for (Job job : jobs) {
      job.model = model;
      job.name = std::string(name) + "_" + job.name;
      result.push_back(job);
    }
  }
  return result;
}

/// `moves_biases`: Qwen 3's stay zero.
void expect_same_training(const Outcome& actual, const Outcome& expected, bool moves_biases) {
  ASSERT_EQ(actual.losses.size(), expected.losses.size());
  for (std::size_t i = 0; i < expected.losses.size(); ++i) {
    EXPECT_NEAR(actual.losses[i], expected.losses[i], 1e-6 * expected.losses[i]) << "step " << i;
    EXPECT_NEAR(actual.norms[i], expected.norms[i], 1e-4 * expected.norms[i]) << "step " << i;
  }
  ASSERT_EQ(actual.biases.size(), expected.biases.size());
  EXPECT_GE(expected.biases.size(), 3U);
  for (const auto& [name, bias] : expected.biases) {
    EXPECT_TRUE(actual.biases.at(name).equal(bias)) << name;
    EXPECT_EQ(bias.abs().max().item<double>() > 0, moves_biases) << name;
  }
}

/// Every layout, as a test of its own; the others are left out unless the matrix is asked for.
class ExpertLayouts : public ::testing::TestWithParam<Job> {
 protected:
  void SetUp() override {
    if (GetParam().only_matrix && !runs_matrix()) GTEST_SKIP() << "set TITAN_EXPERT_MATRIX";
  }
};

TEST_P(ExpertLayouts, TrainAsOneProcess) {
  Job job = GetParam();
  if (runs_matrix()) job.steps = 20;
  expect_same_training(run(job), run(job.alone()), job.model != Model::kQwen3);
}

TEST_P(ExpertLayouts, TrainTheSameWayEveryTime) {
  Job job = GetParam();
  job.steps = 2;
  const int runs = runs_matrix() ? 10 : 2;
  const Outcome first = run(job);
  for (int i = 1; i < runs; ++i) expect_equal(run(job), first);
}

INSTANTIATE_TEST_SUITE_P(
    Experts, ExpertLayouts,
    ::testing::ValuesIn(for_every_model(
        {{.name = "ep2_20_steps", .degrees = {.dp_shard = 2, .ep = 2}, .ranks = 2, .steps = 20},
         {.name = "pp2_ep2_1F1B", .degrees = kPp2Ep2, .ranks = 4},
         {.name = "pp2_ep2_Interleaved1F1B",
          .degrees = kPp2Ep2,
          .ranks = 4,
          .schedule = "Interleaved1F1B"},
         {.name = "pp2_ep2_DualPipeV", .degrees = kPp2Ep2, .ranks = 4, .schedule = "DualPipeV"},
         {.name = "ep4", .degrees = {.dp_shard = 4, .ep = 4}, .ranks = 4, .only_matrix = true},
         {.name = "tp2_ep2_etp1",
          .degrees = {.dp_shard = 1, .tp = 2, .ep = 2},
          .ranks = 2,
          .only_matrix = true},
         {.name = "fsdp2_tp2_ep2_etp1",
          .degrees = {.dp_shard = 2, .tp = 2, .ep = 2},
          .ranks = 4,
          .only_matrix = true},
         {.name = "fsdp2_tp2_ep2_etp2",
          .degrees = {.dp_shard = 2, .tp = 2, .ep = 2, .etp = 2},
          .ranks = 4,
          .only_matrix = true},
         {.name = "pp2_tp2_ep2_DualPipeV",
          .degrees = {.dp_shard = 2, .tp = 2, .pp = 2, .ep = 2},
          .ranks = 8,
          .schedule = "DualPipeV",
          .only_matrix = true}})),
    [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace titan::step::experts
