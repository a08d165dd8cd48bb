#include "components/checkpoint/save_plan.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/process_group.h"
#include "unit/components/checkpoint/example_state.h"

namespace titan::components {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

ProposedTensor rows(const std::string& name, std::int64_t begin, std::int64_t count,
                    std::int64_t of = 4) {
  return {{name}, "float32", {of, 2}, {begin, 0}, {count, 2}};
}

TEST(SavePlan, WhatSeveralHoldGoesToTheOneWithLeast) {
  // In the order in which they are met: w (rank 0), small, last, o, the rest of w (rank 1).
  const std::vector<Proposal> proposals = {
      {{rows("w", 0, 1), rows("small", 0, 4), rows("last", 0, 4)}, {{"o"}}},
      {{rows("w", 1, 3), rows("small", 0, 4), rows("last", 0, 4)}, {{"o"}}}};
  const SavePlan plan = make_save_plan(proposals);
  EXPECT_THAT(plan.ranks[0].objects, ElementsAre(0));
  EXPECT_THAT(plan.ranks[1].objects, ElementsAre());
  EXPECT_THAT(plan.ranks[0].tensors, ElementsAre(0, 2));
  EXPECT_THAT(plan.ranks[1].tensors, ElementsAre(1, 0));
}

TEST(SavePlan, EmptyBoxesAreNobodys) {
  const std::vector<Proposal> proposals = {
      {{rows("w", 2, 0)}, {}}, {{rows("w", 2, 2)}, {}}, {{rows("w", 0, 2)}, {}}};
  const SavePlan plan = make_save_plan(proposals);
  EXPECT_THAT(plan.ranks[0].tensors, ElementsAre());
  EXPECT_THAT(plan.ranks[1].tensors, ElementsAre(0));
  EXPECT_THAT(plan.ranks[2].tensors, ElementsAre(0));
  EXPECT_EQ(plan.metadata.entries.at(0).tensor()->chunks.size(), 2U);
}

TEST(SavePlan, GoesAroundAsBytes) {
  const Proposal proposal{{rows("w", 0, 1), {{"a", std::int64_t{3}}, "bool", {}, {}, {}}},
                          {{"o", std::int64_t{0}, "x"}}};
  EXPECT_EQ(decode_proposal(encode(proposal)), proposal);
  const Assignment assignment = decode_assignment(encode(Assignment{{1, 2}, {}}));
  EXPECT_THAT(assignment.objects, ElementsAre(1, 2));
  EXPECT_THAT(assignment.tensors, ElementsAre());
}

TEST(SavePlan, ContradictionsNameKeyAndRanks) {
  const auto refusal = [](const Proposal& a, const Proposal& b) {
    return test::message_of<RunError>([&] { make_save_plan({a, b}); });
  };
  ProposedTensor other = rows("w", 2, 2);
  other.dtype = "bfloat16";
  EXPECT_EQ(refusal({{rows("w", 0, 2)}, {}}, {{other}, {}}),
            "'w' has another type on rank 1 and rank 0: the ranks do not save the same state");
  EXPECT_THAT(refusal({{rows("w", 0, 2)}, {}}, {{rows("w", 2, 3, 5)}, {}}),
              HasSubstr("'w' has other sizes on rank 1"));
  EXPECT_THAT(refusal({{rows("w", 0, 2)}, {}}, {{rows("w", 0, 3)}, {}}),
              HasSubstr("'w' has boxes of different sizes at the same place"));
  // As many elements, but not the same.
  const ProposedTensor wide{{"w"}, "float32", {4, 2}, {0, 0}, {1, 2}};
  const ProposedTensor tall{{"w"}, "float32", {4, 2}, {0, 0}, {2, 1}};
  EXPECT_THAT(refusal({{wide}, {}}, {{tall}, {}}),
              HasSubstr("'w' has boxes of different sizes at the same place on rank 1 and rank 0"));
  EXPECT_THAT(refusal({{rows("w", 0, 4)}, {}}, {{}, {{"w"}}}),
              HasSubstr("'w' is a value and a tensor on rank 1"));
  EXPECT_THAT(refusal({{rows("w", 0, 4), rows("w", 0, 4)}, {}}, {}),
              HasSubstr("'w' is twice in the state of rank 0"));
  EXPECT_THAT(refusal({{rows("w", 0, 2)}, {}}, {{rows("w", 3, 1)}, {}}),
              HasSubstr("'w': 2 of its 8 elements are in no chunk"));
  EXPECT_THAT(refusal({{rows("w", 0, 2)}, {}}, {{rows("w", 1, 3)}, {}}), HasSubstr("overlaps"));
}

/// Counts what a rank's group is asked for.
class CountingObserver : public comm::CollectiveObserver {
 public:
  std::uint64_t started(const comm::CollectiveCall& call) override {
    ++collectives;
    bytes += call.bytes;
    return 0;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const comm::CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }
  int collectives = 0;
  std::int64_t bytes = 0;
};

TEST(SavePlan, IsKeptWhileTheStateKeepsItsStructure) {
  test::TemporaryFolder folder;
  comm::LocalWorld world(2);
  std::vector<std::thread> threads;
  for (const std::int64_t rank : {0, 1}) {
    threads.emplace_back([&, rank] {
      CountingObserver observer;
      const auto backend = world.backend(rank);
      const auto group =
          backend->make_group("checkpoint", {0, 1}, std::chrono::seconds(60), &observer);
      DcpSaver saver(base::posix_file_system(), group.get());
      const auto cost = [&](const std::string& name, const FlatState& state) {
        observer.collectives = 0;
        saver.save(folder / name, state);
        return observer.collectives;
      };
      FlatState state = test::example_state(test::Layout::kRows, rank, 2, true);
      const int first = cost("step-1", state);
      const int second = cost("step-2", state);
      EXPECT_LT(second, first);
      state.objects[0].value = formats::PickleValue::text(std::string(5000, 'x'));
      EXPECT_EQ(cost("step-3", state), second) << "values may change";
      // One rank's structure changes: all make a new plan.
      if (rank == 1) state.objects.push_back({{"more"}, formats::PickleValue::integer(1)});
      EXPECT_EQ(cost("step-4", state), first);
      EXPECT_EQ(cost("step-5", state), second);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(DcpCheckpoint(base::posix_file_system(), folder / "step-5").object("more"),
            formats::PickleValue::integer(1));
}

}  // namespace
}  // namespace titan::components
