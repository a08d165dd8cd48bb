#include "titan/watch/watch.h"

#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/tools/error_file.h"
#include "titan/tools/logging.h"
#include "watch/flight_recorder.h"
#include "watch/followed_collectives.h"
#include "watch/heartbeat.h"
#include "watch/thread_stack.h"

namespace titan::watch {
namespace {

/// Writes, once, what this rank was doing when the job failed.
class Dump {
 public:
  Dump(const WatchSetup& setup, std::shared_ptr<const FlightRecorder> recorder)
      : rank_(setup.rank),
        world_size_(setup.world_size),
        folder_(setup.traces_folder),
        prefix_(setup.file_prefix),
        records_(setup.trace_buf_size > 0),
        recorder_(std::move(recorder)),
        thread_(this_thread()) {}

  /// Says in the log what cannot be written; never throws.
  void write(const std::string& reason) {
    if (folder_.empty() || written_.exchange(true)) return;
    try {
      base::FileSystem& files = base::posix_file_system();
      files.create_directories(folder_);
      const std::string path =
          (std::filesystem::path(folder_) / (prefix_ + std::to_string(rank_))).string();
      const PhaseNow phase = recorder_->phase();
      std::string stack =
          concat("rank ", rank_, ", pid ", ::getpid(), ", in ", phase.name, " of step ", phase.step,
                 "\n", reason, "\n\n", stack_of(thread_, std::chrono::milliseconds(1'000)));
      base::write_file_atomically(files, path + ".stack.txt", stack);
      // Again with all threads, which takes longer than a process may still have.
      stack += "\n" + stacks_of_others(thread_, std::chrono::milliseconds(2'000));
      base::write_file_atomically(files, path + ".stack.txt", stack);
      if (records_) {
        base::write_file_atomically(files, path + ".json", recorder_->json(rank_, world_size_));
      }
    } catch (const std::exception& error) {
      tools::log_warning("rank ", rank_, " cannot write its trace: ", error.what());
    }
  }

  const std::string& folder() const { return folder_; }

 private:
  const std::int64_t rank_;
  const std::int64_t world_size_;
  const std::string folder_;
  const std::string prefix_;
  const bool records_;
  const std::shared_ptr<const FlightRecorder> recorder_;
  const pid_t thread_;
  std::atomic<bool> written_ = false;
};

class RankWatch : public Watch {
 public:
  explicit RankWatch(WatchSetup setup)
      : rank_(setup.rank),
        recorder_(std::make_shared<FlightRecorder>(setup.trace_buf_size)),
        followed_(std::make_shared<FollowedCollectives>(recorder_)),
        dump_(std::make_shared<Dump>(setup, recorder_)) {
    if (setup.store == nullptr || setup.world_size == 1) return;
    Heartbeat::Events events;
    events.on_abort = [dump = dump_](const std::string& reason) { dump->write(reason); };
    events.on_overdue = setup.end_rank;
    heartbeat_ = std::make_unique<Heartbeat>(setup, recorder_, followed_, std::move(events));
  }

  void enter_phase(std::string_view phase, std::int64_t step) override {
    recorder_->enter_phase(phase, step);
  }

  std::uint64_t started(const comm::CollectiveCall& call) override {
    return recorder_->started(call);
  }

  bool follow(std::uint64_t id, const comm::CollectiveCall& call,
              std::unique_ptr<comm::UnderWay> work) override {
    if (!heartbeat_) return false;
    followed_->add(id, call, std::move(work));
    return true;
  }

  void finished(std::uint64_t id) override { recorder_->finished(id); }

  std::string explain(std::uint64_t id, const comm::CollectiveCall& call,
                      std::string_view error) override {
    recorder_->failed(id);
    FailedCollective failed;
    failed.rank = rank_;
    failed.group = call.group;
    failed.operation = call.operation;
    failed.sequence = call.sequence;
    failed.waited_seconds = recorder_->seconds_since(id);
    failed.step = recorder_->phase().step;
    failed.error = error;
    if (call.peers != nullptr) failed.peers = *call.peers;
    const std::string sentence =
        heartbeat_ ? heartbeat_->give_up(failed, *call.ranks) : describe_failure(failed, {});
    dump_->write(sentence);
    return sentence + traces_note(dump_->folder());
  }

  void leave(std::string_view error) override {
    followed_->clear();
    if (heartbeat_) heartbeat_->leave(error);
  }

 private:
  const std::int64_t rank_;
  const std::shared_ptr<FlightRecorder> recorder_;
  const std::shared_ptr<FollowedCollectives> followed_;
  const std::shared_ptr<Dump> dump_;
  std::unique_ptr<Heartbeat> heartbeat_;
};

}  // namespace

std::unique_ptr<Watch> make_watch(WatchSetup setup) {
  return std::make_unique<RankWatch>(std::move(setup));
}

void end_process(const std::string& reason) {
  std::fflush(stdout);
  std::fprintf(stderr, "titan_train: %s\n", reason.c_str());
  std::fflush(stderr);
  tools::leave_error_file(reason);
  ::_exit(1);
}

}  // namespace titan::watch
