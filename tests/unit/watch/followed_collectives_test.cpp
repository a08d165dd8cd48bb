#include "watch/followed_collectives.h"

#include <gmock/gmock.h>

#include <stdexcept>
#include <thread>

namespace titan::watch {
namespace {

using std::chrono::milliseconds;

enum class Answer { kUnderWay, kEnded, kFailed };

class AnsweredWork : public comm::UnderWay {
 public:
  AnsweredWork(milliseconds limit, std::shared_ptr<Answer> answer)
      : UnderWay(limit), answer_(std::move(answer)) {}
  bool has_ended() override {
    if (*answer_ == Answer::kFailed) throw std::runtime_error("link down");
    return *answer_ == Answer::kEnded;
  }

 private:
  std::shared_ptr<Answer> answer_;
};

class FollowedCollectivesTest : public testing::Test {
 protected:
  std::shared_ptr<Answer> start(std::string_view group, std::uint64_t sequence,
                                milliseconds limit = std::chrono::hours(1)) {
    const comm::CollectiveCall call = {group, "all_gather", sequence, 8, &ranks_};
    auto answer = std::make_shared<Answer>(Answer::kUnderWay);
    followed_.add(recorder_->started(call), call, std::make_unique<AnsweredWork>(limit, answer));
    return answer;
  }
  std::uint64_t pending() const {
    const auto oldest = recorder_->oldest_pending();
    return oldest ? oldest->what.sequence : 0;
  }

  const std::vector<std::int64_t> ranks_ = {4, 6};
  std::shared_ptr<FlightRecorder> recorder_ = std::make_shared<FlightRecorder>(100);
  FollowedCollectives followed_{recorder_};
};

TEST_F(FollowedCollectivesTest, TheRecorderHearsOfAnEndWhenItHasCome) {
  const auto first = start("fsdp", 1);
  const auto second = start("fsdp", 2);
  EXPECT_FALSE(followed_.look());
  EXPECT_EQ(pending(), 1U);
  *first = Answer::kEnded;
  EXPECT_FALSE(followed_.look());
  EXPECT_EQ(pending(), 2U);
  *second = Answer::kEnded;
  start("fsdp", 3);  // looks, too: what has ended is not kept until the next sign of life
  EXPECT_EQ(pending(), 3U);
}

TEST_F(FollowedCollectivesTest, OneOfAnotherGroupMayEndFirst) {
  start("pp", 1);
  const auto behind = start("fsdp", 2);
  *behind = Answer::kEnded;
  EXPECT_FALSE(followed_.look());
  EXPECT_EQ(behind.use_count(), 1) << "it is kept no longer";
}

TEST_F(FollowedCollectivesTest, NamesWhatTakesTooLongAndWhatFailed) {
  start("pp", 1);
  start("fsdp", 2, milliseconds(20));
  std::this_thread::sleep_for(milliseconds(50));
  const auto late = followed_.look();
  ASSERT_TRUE(late);
  EXPECT_EQ(late->group, "fsdp");
  EXPECT_EQ(late->operation, "all_gather");
  EXPECT_EQ(late->sequence, 2U);
  EXPECT_EQ(late->ranks, ranks_);
  EXPECT_GE(late->waited_seconds, 0.05);
  EXPECT_EQ(late->error, "timed out after 20 ms");

  followed_.clear();
  EXPECT_FALSE(followed_.look());
  *start("tp", 3) = Answer::kFailed;
  start("tp", 4);  // its look leaves the failure to who can say it
  const auto failed = followed_.look();
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->sequence, 3U);
  EXPECT_EQ(failed->error, "link down");
}

TEST_F(FollowedCollectivesTest, TimeInWhichTheJobWasSuspendedDoesNotCount) {
  start("fsdp", 1, milliseconds(20));
  std::this_thread::sleep_for(milliseconds(50));
  followed_.forgive(milliseconds(49));
  EXPECT_FALSE(followed_.look());
}

}  // namespace
}  // namespace titan::watch
