#include "titan/profiling/operator_profile.h"

#include <ATen/ops/full.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/silu.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "titan/kernels/experts.h"
#include "titan/nn/linear.h"
#include "titan/profiling/profile_report.h"
#include "titan/profiling/range.h"

namespace titan::profiling {
namespace {

using ::testing::ElementsAre;
using ::testing::UnorderedElementsAre;

/// Two products with silu between, which is the model's own.
class Small : public nn::Module {
 public:
  Small()
      : first_(add_child("layers.0", std::make_unique<nn::Linear>(6, 8, at::kFloat))),
        second_(add_child("layers.1", std::make_unique<nn::Linear>(8, 4, at::kFloat))) {
    to_empty(at::kCPU);
    const c10::NoGradGuard no_grad;
    for (const auto& named : named_parameters()) named.tensor().fill_(0.5);
  }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override {
    return {second_->call(at::silu(first_->call(inputs.at(0))))};
  }

 private:
  nn::Linear* first_;
  nn::Linear* second_;
};

void run_step(Small& model, OperatorProfile& profile, std::int64_t step) {
  profile.begin_step(step);
  const at::Tensor x = at::ones({3, 6});
  model.call(x).sum().backward();
  {
    const Range optimizer("optimizer");
    const c10::NoGradGuard no_grad;
    for (const auto& named : model.named_parameters()) named.tensor().sub_(named.tensor().grad());
  }
  profile.end_step();
}

StepRecord record_of_a_step() {
  OperatorProfile profile(1);
  Small model;
  profile.follow(model);
  run_step(model, profile, 1);
  return profile.fastest();
}

using Place = std::pair<std::string, std::string>;  // module and part

std::vector<Place> places_of(const StepRecord& step, const std::string& name) {
  std::vector<Place> places;
  for (const OperatorCall& call : step.calls) {
    if (call.name == name) places.emplace_back(call.module, call.part);
  }
  return places;
}

TEST(OperatorProfile, KnowsWhoseEveryOperatorIs) {
  const StepRecord step = record_of_a_step();
  // Of the last product both gradients, of the first, whose input wants none, that of the weight.
  EXPECT_THAT(places_of(step, "aten::mm"),
              ElementsAre(Place("layers.0", "forward"), Place("layers.1", "forward"),
                          Place("layers.1", "backward"), Place("layers.1", "backward"),
                          Place("layers.0", "backward")));
  EXPECT_THAT(places_of(step, "aten::silu"), ElementsAre(Place("", "forward")));
  EXPECT_THAT(places_of(step, "aten::silu_backward"), ElementsAre(Place("", "backward")));
  EXPECT_THAT(places_of(step, "aten::sub_"),
              ElementsAre(Place("", "optimizer"), Place("", "optimizer")));
  EXPECT_THAT(places_of(step, "aten::ones"), ElementsAre(Place("", "rest")));
}

TEST(OperatorProfile, KnowsShapesAndWhatTheyComeTo) {
  const StepRecord step = record_of_a_step();
  const auto first = std::ranges::find(step.calls, "aten::mm", &OperatorCall::name);
  ASSERT_NE(first, step.calls.end());
  ASSERT_EQ(first->inputs.size(), 2);
  EXPECT_THAT(first->inputs[0].sizes, ElementsAre(3, 6));
  EXPECT_THAT(first->inputs[1].sizes, ElementsAre(6, 8));
  EXPECT_EQ(first->cost.flops, 2 * 3 * 6 * 8);
  EXPECT_EQ(first->cost.bytes, 4 * (18 + 48 + 24));
}

TEST(OperatorProfile, EveryCallIsInOneRowOfEachTable) {
  const StepRecord step = record_of_a_step();
  const ProfileRow sum = sum_of(step);
  EXPECT_EQ(sum.calls, static_cast<std::int64_t>(step.calls.size()));
  EXPECT_EQ(sum.cost.flops, 2 * 3 * (2 * 6 * 8 + 3 * 8 * 4));
  for (const auto& rows : {by_operator(step), by_module(step)}) {
    std::int64_t calls = 0;
    double flops = 0;
    for (const ProfileRow& row : rows) {
      calls += row.calls;
      flops += row.cost.flops;
      EXPECT_NEAR(row.seconds, row.forward + row.again + row.backward + row.optimizer + row.rest,
                  1e-9);
    }
    EXPECT_EQ(calls, sum.calls);
    EXPECT_EQ(flops, sum.cost.flops);
  }
  std::vector<std::string> names;
  for (const ProfileRow& row : by_module(step)) names.push_back(row.name);
  EXPECT_THAT(names, UnorderedElementsAre("layers.*", "(no module)"));
}

TEST(OperatorProfile, KeepsTheFastestOfTheStepsItRecords) {
  OperatorProfile profile(3);
  Small model;
  profile.follow(model);
  for (std::int64_t step = 1; step <= 2; ++step) run_step(model, profile, step);
  EXPECT_TRUE(profile.fastest().calls.empty());
  double fastest = 1e9;
  std::size_t calls = 0;
  for (std::int64_t step = 3; step <= 6; ++step) {
    run_step(model, profile, step);
    EXPECT_LE(profile.fastest().seconds, fastest);
    fastest = profile.fastest().seconds;
    if (step == 4) calls = profile.fastest().calls.size();
  }
  EXPECT_EQ(profile.fastest().calls.size(), calls) << "steps are alike";
}

TEST(OperatorProfile, ATraceHasEveryCall) {
  const ProfileReport report = {"small", record_of_a_step(), {}, {}};
  const auto events = nlohmann::json::parse(profile_trace(report)).at("traceEvents");
  ASSERT_EQ(events.size(), report.step.calls.size());
  for (std::size_t i = 0; i < events.size(); ++i) {
    EXPECT_EQ(events[i].at("name"), report.step.calls[i].name);
    EXPECT_GE(events[i].at("dur"), 0);
  }
}

TEST(StepFloor, EveryProductIsInOneContestAndNoneIsSlowerThanTheStep) {
  const StepRecord step = record_of_a_step();
  const std::vector<Contest> contests = hold_contests(step);
  double flops = 0;
  std::int64_t calls = 0;
  for (const Contest& contest : contests) {
    flops += contest.flops;
    calls += contest.calls;
    EXPECT_GT(contest.best_seconds, 0);
    EXPECT_LE(contest.best_seconds, contest.seconds * (1 + 1e-9)) << contest.what;
  }
  EXPECT_EQ(flops, sum_of(step).cost.flops);
  EXPECT_EQ(calls, 5);
  EXPECT_LE(floor_seconds(contests), step.seconds);
}

TEST(StepFloor, ExpertsProductsAreInAContest) {
  OperatorProfile profile(1);
  const at::Tensor rows = at::ones({8, 4}).set_requires_grad(true);
  const at::Tensor into = at::ones({2, 6, 4}).set_requires_grad(true);
  const at::Tensor back = at::ones({2, 4, 6}).set_requires_grad(true);
  profile.begin_step(1);
  kernels::experts(rows, {into, back, into}, at::full({2}, 4, at::kLong)).sum().backward();
  profile.end_step();
  std::map<std::string, double> flops;
  for (const Contest& contest : hold_contests(profile.fastest())) {
    flops[contest.what] = contest.flops;
  }
  constexpr double kProduct = 2.0 * 8 * 4 * 6;
  EXPECT_EQ(flops, (std::map<std::string, double>{{"6 x mm 4 x 4 x 6", 3 * kProduct},
                                                  {"12 x mm 4 x 4 x 6", 6 * kProduct}}));
}

}  // namespace
}  // namespace titan::profiling
