#include "titan/watch/watch.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <thread>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/local_backend.h"
#include "unit/comm/stream_backend.h"

namespace titan::watch {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

/// A job of threads, each with its watch; signs of life come every 50 ms.
class WatchTest : public testing::Test {
 protected:
  WatchSetup setup(std::int64_t rank, std::int64_t world_size) {
    WatchSetup setup;
    setup.rank = rank;
    setup.world_size = world_size;
    setup.host = "here";
    setup.store = store_;
    setup.traces_folder = folder_ / "traces";
    setup.period = milliseconds(50);
    setup.silence = milliseconds(1'000);
    setup.grace = milliseconds(100);
    setup.end_rank = [this, rank](const std::string& reason) {
      const std::lock_guard lock(mutex_);
      ended_[rank] = reason;
      changed_.notify_all();
    };
    return setup;
  }

  std::string read(const std::string& name) {
    return base::read_whole_file(base::posix_file_system(), folder_ / ("traces/" + name), 1 << 24);
  }

  /// Why a rank was ended, which it is when it has written what it was doing; not before it is. In what order ranks end is not
  /// said.
  std::string ended(std::int64_t rank) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, std::chrono::seconds(60), [&] { return ended_.contains(rank); });
    return ended_[rank];
  }

  static std::unique_ptr<comm::ProcessGroup> group(comm::LocalWorld& world, std::int64_t rank,
                                                   std::vector<std::int64_t> ranks, Watch& watch) {
    return world.backend(rank)->make_group("fsdp", ranks, milliseconds(500), &watch);
  }

  test::TemporaryFolder folder_;
  comm::LocalWorld world_{3};
  std::shared_ptr<comm::Store> store_{&world_.store(), [](comm::Store*) {}};
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::int64_t, std::string> ended_;
};

TEST_F(WatchTest, NamesTheRankThatDoesNotCome) {
  std::promise<void> over;
  std::shared_future<void> is_over(over.get_future());
  std::thread absent([&] {
    const auto watch = make_watch(setup(2, 3));
    watch->enter_phase("data", 7);
    // Not one long wait: ThreadSanitizer would hold back the signal that asks for the stack.
    while (is_over.wait_for(milliseconds(10)) != std::future_status::ready) {
    }
  });
  std::array<std::string, 2> messages;
  std::array<std::thread, 2> present;
  for (std::int64_t rank = 0; rank < 2; ++rank) {
    present[static_cast<std::size_t>(rank)] = std::thread([&, rank] {
      const auto watch = make_watch(setup(rank, 3));
      watch->enter_phase("forward", 7);
      const auto fsdp = group(world_, rank, {0, 1, 2}, *watch);
      messages[static_cast<std::size_t>(rank)] =
          test::message_of<RunError>([&] { fsdp->barrier(); });
      watch->leave(messages[static_cast<std::size_t>(rank)]);
    });
  }
  for (std::thread& thread : present) thread.join();
  const std::string end_of_2 = ended(2);
  over.set_value();
  absent.join();
  for (const std::string& message : messages) {
    EXPECT_THAT(message,
                AllOf(HasSubstr("rank 2 (host here, pid "),
                      HasSubstr(") never entered barrier #1 of fsdp; it is in data of step 7"),
                      HasSubstr("comm.train_timeout_seconds")));
  }
  EXPECT_THAT(end_of_2, StartsWith("stopped because rank ")) << "it does not end by itself";
  EXPECT_THAT(end_of_2, HasSubstr("never entered barrier #1"));
  EXPECT_THAT(read("rank_0.json"), HasSubstr("\"profiling_name\": \"barrier\""));
  EXPECT_THAT(read("rank_1.stack.txt"), HasSubstr("in forward of step 7"));
  EXPECT_THAT(read("rank_2.stack.txt"), AllOf(HasSubstr("in data of step 7"), HasSubstr("#2  ")));
}

std::unique_ptr<comm::ProcessGroup> stream_group(
    const c10::intrusive_ptr<comm::test::StreamBackend>& backend, Watch& watch,
    milliseconds limit) {
  return comm::test::make_stream_group(backend, {0, 1, 2}, &watch, limit);
}

TEST_F(WatchTest, NamesTheRankThatDoesNotComeAlsoWhereAWaitReturnsAtOnce) {
  const auto watch = make_watch(setup(0, 3));
  const auto present = make_watch(setup(1, 3));
  const auto absent = make_watch(setup(2, 3));
  watch->enter_phase("forward", 7);
  present->enter_phase("forward", 7);
  absent->enter_phase("data", 7);
  const auto backend = c10::make_intrusive<comm::test::StreamBackend>(0, 3);
  const auto fsdp = stream_group(backend, *watch, milliseconds(500));
  const auto fsdp_of_1 = stream_group(c10::make_intrusive<comm::test::StreamBackend>(1, 3),
                                      *present, std::chrono::minutes(9));
  fsdp_of_1->all_reduce(at::zeros({1})).wait();
  const auto start = std::chrono::steady_clock::now();
  fsdp->all_reduce(at::zeros({1})).wait();
  const std::string end_of_0 = ended(0);
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(60));
  EXPECT_THAT(end_of_0,
              AllOf(HasSubstr("rank 2 (host here, pid "),
                    HasSubstr(") never entered all_reduce #1 of fsdp; it is in data of step 7"),
                    HasSubstr("comm.train_timeout_seconds")));
  EXPECT_THAT(read("rank_0.stack.txt"), HasSubstr("in forward of step 7"));
  EXPECT_THAT(read("rank_0.json"), HasSubstr("\"state\": \"failed\""));
}

TEST_F(WatchTest, TheErrorOfWorkThatNobodyWaitsForEndsTheJob) {
  const auto watch = make_watch(setup(0, 3));
  const auto present = make_watch(setup(1, 3));
  make_watch(setup(2, 3))->leave("cannot read data.jsonl");
  const auto backend = c10::make_intrusive<comm::test::StreamBackend>(0, 3);
  const auto fsdp = stream_group(backend, *watch, std::chrono::minutes(9));
  fsdp->all_reduce(at::zeros({1}));
  const auto& work = backend->works.front();
  work->error = std::make_exception_ptr(std::runtime_error("remote process exited"));
  work->ended = true;
  EXPECT_THAT(ended(0), AllOf(HasSubstr("rank 2"), HasSubstr("ended with an error: cannot read"),
                              HasSubstr("remote process exited")));
}

TEST_F(WatchTest, WorkThatEndsInTimeIsNoFailure) {
  constexpr milliseconds kLimit(2'000);
  const auto watch = make_watch(setup(0, 3));
  const auto backend = c10::make_intrusive<comm::test::StreamBackend>(0, 3);
  const auto fsdp = stream_group(backend, *watch, kLimit);
  const auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < 3; ++i) fsdp->all_reduce(at::zeros({1})).wait();
  std::this_thread::sleep_for(milliseconds(200));
  for (const auto& work : backend->works) {
    EXPECT_GT(work.use_count(), 1U) << "kept until it has ended";
    work->ended = true;
  }
  for (const auto& work : backend->works) {
    while (work.use_count() > 1U && std::chrono::steady_clock::now() - start < kLimit) {
      std::this_thread::sleep_for(milliseconds(1));
    }
    EXPECT_EQ(work.use_count(), 1U) << "not until the limit";
  }
  std::this_thread::sleep_until(start + kLimit + milliseconds(200));
  const std::lock_guard lock(mutex_);
  EXPECT_THAT(ended_, IsEmpty());
}

TEST_F(WatchTest, MessagesDoNotHideWhoDidNotCome) {
  std::promise<void> over;
  std::shared_future<void> is_over(over.get_future());
  std::array<std::string, 3> messages;
  std::array<std::thread, 3> ranks;
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    ranks[static_cast<std::size_t>(rank)] = std::thread([&, rank] {
      const auto watch = make_watch(setup(rank, 3));
      watch->enter_phase("forward", 7);
      const auto pp = group(world_, rank, {0, 1, 2}, *watch);
      pp->barrier();
      // Rank 2, which will be missing, has by far the most messages.
      const at::Tensor tensor = at::zeros({1});
      for (int i = 0; i < 20 && rank > 0; ++i) {
        (rank == 1 ? pp->send(tensor, 2) : pp->receive(tensor, 1)).wait();
        if (rank == 2) pp->send(tensor, 0);
      }
      while (rank == 2 && is_over.wait_for(milliseconds(10)) != std::future_status::ready) {
      }
      if (rank == 2) return;
      messages[static_cast<std::size_t>(rank)] = test::message_of<RunError>([&] { pp->barrier(); });
      watch->leave(messages[static_cast<std::size_t>(rank)]);
    });
  }
  ranks[0].join();
  ranks[1].join();
  over.set_value();
  ranks[2].join();
  for (std::int64_t rank = 0; rank < 2; ++rank) {
    EXPECT_THAT(messages[static_cast<std::size_t>(rank)],
                AllOf(HasSubstr("rank 2 (host here, pid "),
                      HasSubstr(") never entered barrier #2 of fsdp; it is in forward of step 7")));
  }
}

TEST_F(WatchTest, AMessageThatNobodySends) {
  std::promise<void> over;
  std::thread busy([&] {
    const auto watch = make_watch(setup(1, 3));
    watch->enter_phase("data", 7);
    over.get_future().wait();
  });
  const auto watch = make_watch(setup(0, 3));
  const auto pp = group(world_, 0, {0, 1}, *watch);
  EXPECT_THAT(test::message_of<RunError>([&] { pp->receive(at::zeros({1}), 1).wait(); }),
              AllOf(HasSubstr("rank 1 (host here, pid "),
                    HasSubstr(") did not answer receive #1 of fsdp; it is in data of step 7")));
  over.set_value();
  busy.join();
}

TEST_F(WatchTest, RepeatsTheErrorOfARankThatFailed) {
  std::thread failing([&] {
    const auto watch = make_watch(setup(1, 3));
    watch->enter_phase("data", 2);
    watch->leave("cannot read data.jsonl");
  });
  failing.join();
  const auto watch = make_watch(setup(0, 3));
  const auto fsdp = group(world_, 0, {0, 1}, *watch);
  EXPECT_THAT(test::message_of<RunError>([&] { fsdp->barrier(); }),
              HasSubstr("ended with an error: cannot read data.jsonl"));
}

TEST_F(WatchTest, AnAbortIsOneThatARankHasWritten) {
  const auto watch = make_watch(setup(0, 2));
  for (const char* odd : {"", "nonsense", "[]", R"({"rank": "x", "reason": "y"})"}) {
    store_->set("titan/watch/abort", odd);
    std::this_thread::sleep_for(milliseconds(150));  // three looks, and longer than `grace`
  }
  {
    const std::lock_guard lock(mutex_);
    EXPECT_THAT(ended_, IsEmpty());
  }
  store_->set("titan/watch/abort", R"({"rank": 1, "reason": "\u001b[31mred\n[titan] forged"})");
  EXPECT_EQ(ended(0), "stopped because rank 1 gave up: ?[31mred\n  [titan] forged");
}

TEST_F(WatchTest, OneThatNeverWasThere) {
  const auto watch = make_watch(setup(0, 3));
  const auto fsdp = group(world_, 0, {0, 2}, *watch);
  EXPECT_THAT(test::message_of<RunError>([&] { fsdp->barrier(); }),
              HasSubstr("rank 2 has never been heard of"));
  EXPECT_THAT(test::message_of<RunError>([&] { fsdp->barrier(); }),
              HasSubstr("rank 2 has never been heard of"))
      << "further failures say the same";
}

TEST_F(WatchTest, AloneItOnlyRecords) {
  WatchSetup alone = setup(0, 1);
  alone.store = nullptr;
  const auto watch = make_watch(alone);
  const std::vector<std::int64_t> ranks = {0};
  const comm::CollectiveCall call = {"world", "all_reduce", 1, 8, &ranks};
  EXPECT_THAT(watch->explain(watch->started(call), call, "odd"),
              AllOf(HasSubstr("all_reduce #1 of world failed"), HasSubstr("(odd)")));
}

/// A store that answers, then hangs or is gone.
class FailingStore : public comm::Store {
 public:
  enum Mode { kAnswers, kHangs, kGone };
  explicit FailingStore(comm::Store& store) : store_(store) {}

  void become(Mode mode) {
    const std::lock_guard lock(mutex_);
    mode_ = mode;
    changed_.notify_all();
  }

  void set(const std::string& key, const std::string& value) override {
    pass();
    store_.set(key, value);
  }
  std::optional<std::string> find(const std::string& key) override {
    pass();
    return store_.find(key);
  }
  std::string wait(const std::string& key, milliseconds timeout) override {
    pass();
    return store_.wait(key, timeout);
  }
  std::int64_t add(const std::string& key, std::int64_t amount) override {
    pass();
    return store_.add(key, amount);
  }

 private:
  void pass() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return mode_ != kHangs; });
    if (mode_ == kGone) throw RunError("connection closed");
  }

  comm::Store& store_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Mode mode_ = kAnswers;
};

class WatchWithoutStore : public WatchTest {
 protected:
  /// What rank 1 says when rank 0, which holds the store, does not answer any more.
  std::string message_when(FailingStore::Mode mode, std::int64_t store_rank = 0) {
    auto failing = std::make_shared<FailingStore>(world_.store());
    const auto holder = make_watch(setup(0, 3));
    holder->enter_phase("backward", 5);
    WatchSetup other = setup(1, 3);
    other.store = failing;
    other.store_rank = store_rank;
    const auto watch = make_watch(other);
    std::this_thread::sleep_for(milliseconds(200));
    failing->become(mode);
    const auto fsdp = group(world_, 1, {0, 1}, *watch);
    const std::string message = test::message_of<RunError>([&] { fsdp->barrier(); });
    failing->become(FailingStore::kGone);  // lets a hanging thread go
    return message;
  }
};

TEST_F(WatchWithoutStore, TheRankThatHeldItIsGone) {
  EXPECT_THAT(message_when(FailingStore::kGone),
              AllOf(HasSubstr("rank 0"), HasSubstr("is gone"), HasSubstr("barrier #1 of fsdp")));
}

TEST_F(WatchWithoutStore, OneThatHangsHoldsUpNobody) {
  EXPECT_THAT(message_when(FailingStore::kHangs),
              AllOf(HasSubstr("rank 0"), HasSubstr("has not been heard of for")));
  EXPECT_THAT(read("rank_1.stack.txt"), HasSubstr("#2  "));
}

TEST_F(WatchWithoutStore, TheLaunchersIsNoRanks) {
  EXPECT_THAT(message_when(FailingStore::kGone, -1),
              HasSubstr("the store of the job does not answer"));
}

TEST_F(WatchTest, ASilentRankIsLoggedOnceAndWhenItIsBack) {
  auto failing = std::make_shared<FailingStore>(world_.store());
  testing::internal::CaptureStdout();
  {
    const auto watch = make_watch(setup(0, 2));
    WatchSetup silent = setup(1, 2);
    silent.store = failing;
    const auto other = make_watch(silent);
    other->enter_phase("backward", 12);
    std::this_thread::sleep_for(milliseconds(300));
    failing->become(FailingStore::kHangs);
    std::this_thread::sleep_for(milliseconds(3'000));
    failing->become(FailingStore::kAnswers);
    std::this_thread::sleep_for(milliseconds(1'500));
  }
  const std::string log = testing::internal::GetCapturedStdout();
  const std::size_t first = log.find("has not been heard of for");
  ASSERT_NE(first, std::string::npos) << log;
  EXPECT_THAT(log, HasSubstr("it was in backward of step 12"));
  EXPECT_EQ(log.find("has not been heard of for", first + 1), std::string::npos) << log;
  EXPECT_NE(log.find("is heard of again", first), std::string::npos) << log;
}

}  // namespace
}  // namespace titan::watch
