#include "comm/roll_call.h"

#include <algorithm>
#include <thread>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/patience.h"
#include "titan/base/printable.h"

namespace titan::comm {

namespace {

constexpr auto kVerdictKey = "roll_call/verdict";
constexpr auto kComplete = "complete";
constexpr auto kShortestPause = std::chrono::milliseconds(1);
constexpr auto kLongestPause = std::chrono::milliseconds(50);
// How long a rank stays, which may be the one that serves the store, for the others to read why the
// job ends.
constexpr auto kFarewell = std::chrono::milliseconds(500);

/// What a roll call writes into the store.
class RollCall {
 public:
  RollCall(Store& store, const Attendee& me) : store_(store), me_(me) {}

  void present() {
    const std::string key = concat("roll_call/rank/", me_.rank);
    const std::int64_t claims = store_.add(key + "/claims", 1);
    if (claims > 1) refuse(duplicate(store_.find(key + "/where")));
    store_.set(key + "/where", me_.where);
    agree_on_size();
    if (store_.add("roll_call/arrived", 1) == me_.world_size) decide(kComplete);
  }

  /// "complete", a reason to refuse, or nothing yet.
  std::optional<std::string> verdict() { return store_.find(kVerdictKey); }

  [[noreturn]] void refuse(const std::string& reason) {
    decide(reason);
    const std::string first = store_.wait(kVerdictKey, std::chrono::seconds(10));
    end(first == kComplete ? reason : first);
  }

  [[noreturn]] static void end(const std::string& reason) {
    std::this_thread::sleep_for(kFarewell);
    throw RunError(base::printable(reason));
  }

  /// The first verdict stays.
  void decide(const std::string& verdict) {
    if (store_.add("roll_call/verdicts", 1) == 1) store_.set(kVerdictKey, verdict);
  }

  std::string absence(std::chrono::milliseconds timeout) {
    constexpr std::size_t kMostNamed = 16;
    std::string names;
    std::size_t absent = 0;
    for (std::int64_t rank = 0; rank < me_.world_size; ++rank) {
      if (store_.find(concat("roll_call/rank/", rank, "/where"))) continue;
      if (absent++ < kMostNamed) names += concat(absent > 1 ? ", " : "", rank);
    }
    if (absent > kMostNamed) names += concat(" and ", absent - kMostNamed, " more");
    return concat(absent, " of ", me_.world_size, " ranks did not come within ",
                  std::chrono::duration<double>(timeout).count(), " s: rank ", names,
                  ". Were they started, ",
                  me_.has_secret ? "have they the TITAN_JOB_SECRET of this one, " : "",
                  "and can they reach the master? comm.init_timeout_seconds sets the time");
  }

 private:
  void agree_on_size() {
    const std::string mine = std::to_string(me_.world_size);
    if (store_.add("roll_call/sizes", 1) == 1) {
      store_.set("roll_call/size", concat(mine, " ", me_.rank, ", ", me_.where));
    }
    const std::string first = store_.wait("roll_call/size", std::chrono::seconds(10));
    const auto space = first.find(' ');
    if (first.substr(0, space) == mine) return;
    refuse(concat("the ranks disagree on how many they are: WORLD_SIZE is ", mine, " for rank ",
                  me_.rank, ", ", me_.where, ", and ", first.substr(0, space), " for rank ",
                  first.substr(std::min(space, first.size() - 1) + 1)));
  }

  std::string duplicate(const std::optional<std::string>& other) {
    return concat("two processes claim to be rank ", me_.rank, ": ", other.value_or("unknown"),
                  ", and ", me_.where,
                  ". Give each process its own RANK, and each job its own"
                  " MASTER_PORT");
  }

  Store& store_;
  const Attendee& me_;
};

}  // namespace

void call_roll(Store& store, const Attendee& me, std::chrono::milliseconds timeout) {
  TITAN_CHECK(me.rank >= 0 && me.rank < me.world_size, "no rank ", me.rank, " in a world of ",
              me.world_size);
  base::Patience patience(timeout);
  RollCall roll(store, me);
  roll.present();
  auto pause = kShortestPause;
  bool closed = false;
  std::optional<std::string> verdict;
  while (!(verdict = roll.verdict())) {
    if (!closed && patience.is_over()) {
      closed = true;
      roll.decide(roll.absence(timeout));
    }
    std::this_thread::sleep_for(pause);
    pause = std::min(pause * 2, kLongestPause);
  }
  if (*verdict != kComplete) RollCall::end(*verdict);
}

}  // namespace titan::comm
