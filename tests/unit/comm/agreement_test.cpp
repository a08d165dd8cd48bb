#include "titan/comm/agreement.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <thread>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/comm/local_backend.h"

namespace titan::comm {
namespace {

using testing::AllOf;
using testing::Each;
using testing::HasSubstr;
using testing::Not;
using Values = std::map<std::string, std::string>;

constexpr std::chrono::milliseconds kLong(60'000);

/// What each rank is told, where rank r has `values(r)`.
std::vector<std::string> compare(std::int64_t world_size,
                                 const std::function<Values(std::int64_t)>& values) {
  LocalWorld world(world_size);
  std::vector<std::string> told(static_cast<std::size_t>(world_size));
  std::vector<std::thread> ranks;
  for (std::int64_t rank = 0; rank < world_size; ++rank) {
    ranks.emplace_back([&, rank] {
      try {
        check_same_config(world.store(), rank, world_size, values(rank), kLong);
      } catch (const ConfigError& error) {
        told[static_cast<std::size_t>(rank)] = error.what();
      }
    });
  }
  for (std::thread& rank : ranks) rank.join();
  return told;
}

TEST(SameConfig, SameValues) {
  const auto told = compare(4, [](std::int64_t) { return Values{{"training.steps", "10"}}; });
  EXPECT_THAT(told, Each(""));
}

TEST(SameConfig, AllRanksNameWhatDiffers) {
  const auto told = compare(4, [](std::int64_t rank) {
    return Values{{"training.steps", rank >= 2 ? "20" : "10"},
                  {"training.seq_len", "64"},
                  {rank == 3 ? "b" : "a", "1"}};
  });
  EXPECT_THAT(told, Each(AllOf(HasSubstr("training.steps is 10 on rank 0 and 20 on rank 2"),
                               HasSubstr("training.steps is 10 on rank 0 and 20 on rank 3"),
                               HasSubstr("a is 1 on rank 0 and not set on rank 3"),
                               HasSubstr("b is not set on rank 0 and 1 on rank 3"),
                               Not(HasSubstr("seq_len")))));
}

TEST(SameConfig, RanksThatAgreeWithEachOtherAreNamedTogether) {
  const auto told = compare(12, [](std::int64_t rank) {
    return Values{{"x", rank == 0 ? "1" : std::string(500, 'y')}};
  });
  EXPECT_THAT(told[5], HasSubstr("on ranks 1, 2, 3, 4, 5, 6, 7, 8 and 3 more"));
  EXPECT_LT(told[5].size(), 500U) << "long values are cut";
}

TEST(SameConfig, ManyDifferencesAreCounted) {
  const auto told = compare(2, [](std::int64_t rank) {
    Values values;
    for (int i = 0; i < 50; ++i) values["k" + std::to_string(i)] = std::to_string(rank);
    return values;
  });
  EXPECT_THAT(told[1], HasSubstr("and 30 more"));
}

// The store may hold what no rank has written.
TEST(SameConfig, OddTextInTheStoreIsAnErrorThatCanBeShown) {
  LocalWorld world(2);
  world.store().set("titan/config/hash/1", "another");
  world.store().set("titan/config/values/1", "[\x1b");
  EXPECT_EQ(test::message_of<RunError>([&] { check_same_config(world.store(), 0, 2, {}, kLong); }),
            "the store holds no config of rank 1");
  LocalWorld other(2);
  other.store().set("titan/config/hash/0", "another");
  other.store().set("titan/config/verdict", "odd \x1b[31m\n[titan] forged");
  EXPECT_EQ(
      test::message_of<ConfigError>([&] { check_same_config(other.store(), 1, 2, {}, kLong); }),
      "odd ?[31m\n  [titan] forged");
}

TEST(SameConfig, ARankThatDoesNotCome) {
  LocalWorld world(3);
  const auto check = [&](std::int64_t rank) {
    return test::message_of<RunError>(
        [&] { check_same_config(world.store(), rank, 3, {}, std::chrono::milliseconds(500)); });
  };
  std::string told;
  std::thread other([&] { told = check(1); });
  EXPECT_THAT(check(0),
              AllOf(HasSubstr("rank 2 did not come"), HasSubstr("comm.init_timeout_seconds")));
  other.join();
  EXPECT_THAT(told, HasSubstr("rank 2 did not come")) << "not rank 0, which waits as well";
}

}  // namespace
}  // namespace titan::comm
