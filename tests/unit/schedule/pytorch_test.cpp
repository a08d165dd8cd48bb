// Schedules are PyTorch's, action by action.
#include <gtest/gtest.h>

#include <fstream>
#include <sstream>

#include "titan/schedule/lowering.h"
#include "titan/schedule/schedule.h"

namespace titan::schedule {
namespace {

/// One of the recorded schedules.
struct Recorded {
  std::string stage;  // "computed" or "lowered"
  std::string name;
  std::int64_t ranks = 0;
  std::int64_t stages_per_rank = 0;
  std::int64_t microbatches = 0;
  std::vector<std::string> lines;  // by rank
};

std::vector<Recorded> recorded() {
  std::ifstream file(TITAN_SOURCE_DIR "/tests/unit/schedule/pytorch_schedules.txt");
  std::vector<Recorded> result;
  for (std::string line; std::getline(file, line);) {
    if (line.empty() || line.starts_with('#')) continue;
    if (!line.starts_with("computed ") && !line.starts_with("lowered ")) {
      result.back().lines.push_back(line);
      continue;
    }
    Recorded next;
    std::istringstream(line) >> next.stage >> next.name >> next.ranks >> next.stages_per_rank >>
        next.microbatches;
    result.push_back(next);
  }
  return result;
}

std::string in_their_words(const std::vector<Action>& actions) {
  std::string result;
  for (const Action& action : actions) {
    std::string word = text(action);
    if (action.op == Op::kOverlap) word.replace(word.find("OVERLAP_F_B"), 11, "OV");
    result += (result.empty() ? "" : " ") + word;
  }
  return result;
}

class PyTorchsSchedules : public ::testing::TestWithParam<Recorded> {};

TEST_P(PyTorchsSchedules, AreOurs) {
  const Recorded& expected = GetParam();
  const auto kind = find_kind(expected.name);
  ASSERT_TRUE(kind);
  Schedule schedule =
      make_schedule(*kind, expected.ranks, expected.stages_per_rank, expected.microbatches);
  if (expected.stage == "lowered") schedule = lower(schedule);
  ASSERT_EQ(schedule.ranks.size(), expected.lines.size());
  for (std::size_t rank = 0; rank < expected.lines.size(); ++rank) {
    EXPECT_EQ(in_their_words(schedule.ranks[rank]), expected.lines[rank]) << "rank " << rank;
  }
}

INSTANTIATE_TEST_SUITE_P(Recorded, PyTorchsSchedules, ::testing::ValuesIn(recorded()),
                         [](const auto& test) {
                           const Recorded& of = test.param;
                           return of.stage + of.name + std::to_string(of.ranks);
                         });

}  // namespace
}  // namespace titan::schedule
