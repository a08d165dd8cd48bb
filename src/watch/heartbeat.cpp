#include "watch/heartbeat.h"

#include <unistd.h>

#include <algorithm>
#include <condition_variable>
#include <map>
#include <mutex>
#include <optional>

#include "titan/base/errors.h"
#include "watch/job_end.h"
#include "watch/peers.h"
#include "watch/process_state.h"

namespace titan::watch {
namespace {

using Clock = std::chrono::steady_clock;
using std::chrono::milliseconds;

constexpr milliseconds kPoll{100};

/// Every rank writes once and reads twice a period, rank 0 reads of all: the store of a large job
/// is asked less often.
milliseconds period_of(const WatchSetup& setup) {
  constexpr std::int64_t kRanksPerSecond = 512;
  if (setup.period.count() > 0) return setup.period;
  return milliseconds(std::max<std::int64_t>(1'000, setup.world_size * 1'000 / kRanksPerSecond));
}

std::int64_t unix_milliseconds() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<milliseconds>(now).count();
}

}  // namespace

class Heartbeat::Loop {
 public:
  Loop(const WatchSetup& setup, std::shared_ptr<const FlightRecorder> recorder,
       std::shared_ptr<FollowedCollectives> followed, Events events)
      : setup_(setup),
        period_(period_of(setup)),
        patience_(period_ * 5 / 2),
        recorder_(std::move(recorder)),
        followed_(std::move(followed)),
        events_(std::move(events)),
        own_(first_report(setup)),
        job_end_(setup.store, setup.rank),
        peers_(*setup.store, own_, patience_),
        silence_log_(std::max(setup.silence, period_ * 4)) {
    publish();
  }

  void run() {
    Clock::time_point last = Clock::now();
    while (pause(next_pause())) {
      if (Clock::now() - last > period_ + setup_.silence / 2) {
        peers_.forgive();
        followed_->forgive(Clock::now() - last - period_);
      }
      last = Clock::now();
      take_last_words();
      attempt([this] { publish(); });
      finish_leaving();
      attempt([this] { look_around(); });
      if (const auto failed = take_question()) answer(*failed);
      look_after_followed();
      end_when_overdue();
    }
    const std::lock_guard lock(mutex_);
    ended_ = true;
    changed_.notify_all();
  }

  std::string ask(const FailedCollective& failed, const std::vector<std::int64_t>& ranks) {
    std::unique_lock lock(mutex_);
    if (!sentence_.empty()) return sentence_;
    explained_ = true;
    question_ = Question{failed, ranks};
    changed_.notify_all();
    const milliseconds limit = patience_ + acknowledgements() + milliseconds(2'500);
    changed_.wait_for(lock, limit, [this] { return !sentence_.empty(); });
    if (sentence_.empty()) sentence_ = without_store(failed, limit);
    return sentence_;
  }

  void leave(std::string_view error) {
    std::unique_lock lock(mutex_);
    if (left_) return;
    left_ = true;
    last_words_ = error;
    changed_.notify_all();
    changed_.wait_for(lock, milliseconds(2'000), [this] { return left_published_ || ended_; });
  }

  /// Whether the thread has come to its end.
  bool stop() {
    std::unique_lock lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
    return changed_.wait_for(lock, milliseconds(2'000), [this] { return ended_; });
  }

 private:
  struct Question {
    FailedCollective failed;
    std::vector<std::int64_t> ranks;
  };

  static RankReport first_report(const WatchSetup& setup) {
    RankReport report;
    report.host = setup.host;
    report.pid = ::getpid();
    report.machine = machine_identity();
    return report;
  }

  milliseconds acknowledgements() const {
    return std::min<milliseconds>(period_ * 2, milliseconds(5'000));
  }

  /// Short until the rank that serves the store has been seen: it may be killed in the first second.
  milliseconds next_pause() {
    const bool unseen = setup_.rank > 0 && setup_.store_rank == 0 && !(holder_ && holder_->report);
    return unseen ? std::min(period_, kPoll / 10) : period_;
  }

  /// Until the time is over or there is something to do; false at the end.
  bool pause(milliseconds time) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, time,
                      [this] { return stopping_ || question_ || (left_ && !left_published_); });
    return !stopping_;
  }

  /// A store that is gone matters when a collective fails, and is seen then.
  template <class Action>
  void attempt(const Action& action) {
    try {
      action();
    } catch (const std::exception&) {
    }
  }

  void publish() {
    ++own_.beat;
    own_.unix_milliseconds = unix_milliseconds();
    own_.phase = recorder_->phase();
    own_.groups = recorder_->progress();
    own_.pending = recorder_->oldest_pending();
    setup_.store->set(report_key(setup_.rank), to_text(own_));
  }

  void take_last_words() {
    const std::lock_guard lock(mutex_);
    if (!left_) return;
    own_.error = last_words_;
    own_.state = last_words_.empty() ? RankReport::State::kDone : RankReport::State::kFailed;
  }

  /// Said, or not to be said: nobody waits for a second attempt.
  void finish_leaving() {
    const std::lock_guard lock(mutex_);
    if (own_.state == RankReport::State::kRunning) return;
    left_published_ = true;
    changed_.notify_all();
  }

  void look_around() {
    if (const auto abort = job_end_.find()) obey(*abort);
    const bool watches_all = setup_.rank == 0;
    const std::int64_t first = watches_all ? 1 : 0;
    const std::int64_t last = watches_all ? setup_.world_size : 1;
    for (std::int64_t rank = first; rank < last; ++rank) {
      const PeerView peer = peers_.look(rank);
      if (setup_.rank <= 1) silence_log_.look_at(peer);
      if (rank == setup_.store_rank) remember_holder(peer);
    }
    silence_log_.finish_round();
  }

  /// Another rank has given up (or this one, which knows already).
  void obey(const Abort& abort) {
    if (aborted_) return;
    aborted_ = true;
    const std::string reason =
        concat("stopped because rank ", abort.rank, " gave up: ", abort.reason);
    reason_ = reason;
    aborted_at_ = Clock::now();
    dump_for(reason);
    const std::lock_guard lock(mutex_);
    if (sentence_.empty()) sentence_ = reason;
    changed_.notify_all();
  }

  void dump_for(const std::string& reason) {
    if (events_.on_abort) events_.on_abort(reason);
    attempt([this] { job_end_.note_dump(); });
  }

  void end_when_overdue() {
    if (!aborted_ || overdue_) return;
    bool ends_by_itself = false;
    {
      const std::lock_guard lock(mutex_);
      ends_by_itself = explained_ || left_;
    }
    if (Clock::now() - aborted_at_ < (ends_by_itself ? setup_.grace * 5 : setup_.grace)) return;
    overdue_ = true;
    if (events_.on_overdue) events_.on_overdue(reason_);
  }

  std::optional<Question> take_question() {
    const std::lock_guard lock(mutex_);
    if (!sentence_.empty()) question_.reset();
    return std::exchange(question_, std::nullopt);
  }

  void answer(const Question& question) {
    std::vector<PeerView> peers;
    std::string sentence;
    try {
      peers = investigate(question);
      if (aborted_) return;
      sentence = job_end_.claim(describe_failure(question.failed, peers));
    } catch (const std::exception& error) {
      sentence = without_store(question.failed, milliseconds(0));
    }
    reason_ = sentence;
    aborted_ = true;
    aborted_at_ = Clock::now();
    dump_for(sentence);
    attempt([&] { await_dumps(peers); });
    const std::lock_guard lock(mutex_);
    if (sentence_.empty()) sentence_ = sentence;
    changed_.notify_all();
  }

  /// The rank itself may wait for ever, in a stream: it is ended when `grace` is over.
  void look_after_followed() {
    if (aborted_) return;
    const std::optional<LostCollective> lost = followed_->look();
    if (!lost) return;
    FailedCollective failed;
    failed.rank = setup_.rank;
    failed.group = lost->group;
    failed.operation = lost->operation;
    failed.sequence = lost->sequence;
    failed.waited_seconds = lost->waited_seconds;
    failed.step = recorder_->phase().step;
    failed.error = lost->error;
    failed.peers = lost->peers;
    answer({failed, lost->ranks});
    reason_ += traces_note(setup_.traces_folder);
  }

  /// Looks at the group until it is clear who is missing: a rank proves to be alive by a new
  /// report, and silent by none for longer than one takes.
  std::vector<PeerView> investigate(const Question& question) {
    const bool timed_out = says_time_is_over(question.failed.error);
    const Clock::time_point deadline = Clock::now() + patience_ + kPoll;
    std::map<std::int64_t, std::uint64_t> first_beats;
    for (;;) {
      if (const auto abort = job_end_.find()) {
        obey(*abort);  // those who left after it are no cause
        return {};
      }
      std::vector<PeerView> peers;
      bool all_known = true;
      bool somebody_left = false;
      for (const std::int64_t rank : question.ranks) {
        if (rank == setup_.rank) continue;
        PeerView peer = peers_.look(rank);
        const std::uint64_t beat = peer.report ? peer.report->beat : 0;
        const bool alive = first_beats.try_emplace(rank, beat).first->second != beat;
        somebody_left = somebody_left || !absence_of(peer).empty();
        all_known = all_known && (alive || !absence_of(peer).empty());
        peers.push_back(std::move(peer));
      }
      // Where a connection broke, somebody is about to be missed.
      const bool clear = timed_out ? all_known : somebody_left;
      if (clear || Clock::now() >= deadline) return peers;
      std::this_thread::sleep_for(std::max<milliseconds>(
          kPoll, milliseconds(static_cast<std::int64_t>(question.ranks.size()))));
      publish();
    }
  }

  /// Gives the other ranks time to dump before the end of this one takes the store or the job away.
  void await_dumps(const std::vector<PeerView>& peers) {
    const auto absent = std::ranges::count_if(
        peers, [](const PeerView& peer) { return !absence_of(peer).empty(); });
    const Clock::time_point deadline = Clock::now() + acknowledgements();
    while (Clock::now() < deadline && job_end_.dumps() < setup_.world_size - absent) {
      std::this_thread::sleep_for(kPoll);
    }
  }

  void remember_holder(const PeerView& peer) {
    const std::lock_guard lock(mutex_);
    holder_ = peer;
  }

  /// The sentence when the store is gone (`silent` 0) or does not answer: then its rank is missing.
  std::string without_store(const FailedCollective& failed, milliseconds silent) const {
    using Condition = PeerView::Condition;
    if (setup_.store_rank < 0 || setup_.store_rank == setup_.rank) {
      return concat(
          "the store of the job does not answer, so that nothing is known of the others. ",
          describe_failure(failed, {}));
    }
    PeerView view = holder_.value_or(PeerView{});
    view.rank = setup_.store_rank;
    view.condition = silent.count() > 0 ? Condition::kSilent : Condition::kGone;
    view.silent_seconds += std::chrono::duration<double>(silent).count();
    const bool near = view.report && view.report->machine == own_.machine;
    if (near && view.report->pid != own_.pid &&
        process_state(view.report->pid) == ProcessState::kStopped) {
      view.condition = Condition::kStopped;
    }
    return describe_failure(failed, {view});
  }

  const WatchSetup setup_;
  const milliseconds period_;
  const milliseconds patience_;
  const std::shared_ptr<const FlightRecorder> recorder_;
  const std::shared_ptr<FollowedCollectives> followed_;
  const Events events_;

  // The thread's own.
  RankReport own_;
  JobEnd job_end_;
  Peers peers_;
  SilenceLog silence_log_;
  bool aborted_ = false;
  bool overdue_ = false;
  std::string reason_;
  Clock::time_point aborted_at_;

  std::mutex mutex_;
  std::condition_variable changed_;
  bool stopping_ = false;
  bool ended_ = false;
  bool left_ = false;
  bool left_published_ = false;
  bool explained_ = false;
  std::string last_words_;
  std::optional<Question> question_;
  std::string sentence_;  // what give_up says, once it is known
  std::optional<PeerView> holder_;
};

Heartbeat::Heartbeat(const WatchSetup& setup, std::shared_ptr<const FlightRecorder> recorder,
                     std::shared_ptr<FollowedCollectives> followed, Events events)
    : loop_(std::make_shared<Loop>(setup, std::move(recorder), std::move(followed),
                                   std::move(events))),
      thread_([loop = loop_] { loop->run(); }) {}

Heartbeat::~Heartbeat() {
  loop_->leave({});
  if (loop_->stop()) {
    thread_.join();
  } else {
    thread_.detach();
  }
}

std::string Heartbeat::give_up(const FailedCollective& failed,
                               const std::vector<std::int64_t>& ranks) {
  return loop_->ask(failed, ranks);
}

void Heartbeat::leave(std::string_view error) { loop_->leave(error); }

}  // namespace titan::watch
