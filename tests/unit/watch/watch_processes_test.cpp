#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <thread>

#include "support/temporary_folder.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/watch/watch.h"

namespace titan::watch {
namespace {

using std::chrono::milliseconds;
using testing::AllOf;
using testing::HasSubstr;

/// A store for processes of a test: a file a key. Nobody here adds at the same time as another.
class FolderStore : public comm::Store {
 public:
  explicit FolderStore(std::string folder) : folder_(std::move(folder)) {}

  void set(const std::string& key, const std::string& value) override {
    base::write_file_atomically(files_, path_of(key), value);
  }
  std::optional<std::string> find(const std::string& key) override {
    if (!files_.exists(path_of(key))) return std::nullopt;
    return base::read_whole_file(files_, path_of(key), 1 << 20);
  }
  std::string wait(const std::string& key, milliseconds timeout) override {
    const auto deadline = std::chrono::steady_clock::now() + timeout;
    while (std::chrono::steady_clock::now() < deadline) {
      if (auto value = find(key)) return *value;
      std::this_thread::sleep_for(milliseconds(5));
    }
    throw RunError("'" + key + "' was not set in time");
  }
  std::int64_t add(const std::string& key, std::int64_t amount) override {
    const std::int64_t sum = std::stoll(find(key).value_or("0")) + amount;
    set(key, std::to_string(sum));
    return sum;
  }

 private:
  std::string path_of(std::string key) const {
    for (char& letter : key) {
      if (letter == '/') letter = '_';
    }
    return folder_ + "/" + key;
  }

  std::string folder_;
  base::FileSystem& files_ = base::posix_file_system();
};

/// Rank 0 is this process, rank 1 a child that is in the backward pass of step 3.
class WatchProcessesTest : public testing::Test {
 protected:
  WatchProcessesTest() : store_(std::make_shared<FolderStore>(folder_.path())) {
    child_ = ::fork();
    if (child_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);
      const auto watch = make_watch(setup(1));
      watch->enter_phase("backward", 3);
      for (;;) ::pause();
    }
    while (store_->wait("titan/watch/rank/1", milliseconds(60'000)).find("backward") ==
           std::string::npos) {
      std::this_thread::sleep_for(milliseconds(5));
    }
  }
  ~WatchProcessesTest() override {
    ::kill(child_, SIGKILL);
    ::waitpid(child_, nullptr, 0);
  }

  WatchSetup setup(std::int64_t rank) {
    WatchSetup setup;
    setup.rank = rank;
    setup.world_size = 2;
    setup.host = "here";
    setup.store = store_;
    setup.period = milliseconds(100);
    setup.silence = milliseconds(1'000);
    return setup;
  }

  std::string explanation(Watch& watch, const std::string& error) {
    const std::vector<std::int64_t> ranks = {0, 1};
    const comm::CollectiveCall call = {"fsdp", "all_gather", 7, 64, &ranks};
    return watch.explain(watch.started(call), call, error);
  }

  test::TemporaryFolder folder_;
  std::shared_ptr<comm::Store> store_;
  pid_t child_ = -1;
};

TEST_F(WatchProcessesTest, ARankThatWasKilledIsGone) {
  const auto watch = make_watch(setup(0));
  watch->enter_phase("forward", 3);
  ::kill(child_, SIGKILL);
  EXPECT_THAT(explanation(*watch, "Connection closed by peer"),
              AllOf(HasSubstr(concat("rank 1 (host here, pid ", child_, ") is gone")),
                    HasSubstr("it was in backward of step 3"), HasSubstr("all_gather #7 of fsdp")));
}

TEST_F(WatchProcessesTest, ARankThatIsStoppedIsCalledSo) {
  const auto watch = make_watch(setup(0));
  ::kill(child_, SIGSTOP);
  EXPECT_THAT(explanation(*watch, "timed out"),
              HasSubstr(concat("rank 1 (host here, pid ", child_, ") is stopped (SIGSTOP")));
}

TEST_F(WatchProcessesTest, ARankThatIsElsewhereInItsProgram) {
  const auto watch = make_watch(setup(0));
  EXPECT_THAT(explanation(*watch, "timed out"),
              HasSubstr("never entered all_gather #7 of fsdp; it is in backward of step 3"));
}

}  // namespace
}  // namespace titan::watch
