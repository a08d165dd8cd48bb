#include "watch/peers.h"

#include <algorithm>

#include "titan/base/errors.h"
#include "titan/tools/logging.h"
#include "watch/process_state.h"

namespace titan::watch {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMostNamed = 8;  // a failing switch takes hundreds of ranks at once

double seconds_since(Clock::time_point time) {
  return std::chrono::duration<double>(Clock::now() - time).count();
}

double seconds_since_unix(std::int64_t milliseconds) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration<double>(now - std::chrono::milliseconds(milliseconds)).count();
}

}  // namespace

std::string report_key(std::int64_t rank) { return concat("titan/watch/rank/", rank); }

Peers::Peers(comm::Store& store, const RankReport& own, std::chrono::milliseconds patience)
    : store_(store), machine_(own.machine), pid_(own.pid), patience_(patience) {}

PeerView Peers::look(std::int64_t rank) {
  Known& known = known_.try_emplace(rank, Known{std::nullopt, Clock::now()}).first->second;
  if (const auto text = store_.find(report_key(rank))) {
    std::optional<RankReport> report = parse_rank_report(*text);
    if (report && (!known.report || report->beat != known.report->beat)) {
      known.report = std::move(report);
      known.changed = Clock::now();
    }
  }
  return remember(rank);
}

PeerView Peers::remember(std::int64_t rank) const {
  using Condition = PeerView::Condition;
  PeerView view;
  view.rank = rank;
  const auto found = known_.find(rank);
  if (found == known_.end()) return view;
  const Known& known = found->second;
  view.report = known.report;
  view.silent_seconds = seconds_since(known.changed);
  if (view.silent_seconds > std::chrono::duration<double>(patience_).count()) {
    view.condition = Condition::kSilent;
  }
  const bool near = known.report && !machine_.empty() && known.report->machine == machine_;
  if (!near || known.report->pid == pid_) return view;
  // The clocks are one; and the kernel knows more than the store.
  view.silent_seconds =
      std::max(view.silent_seconds, seconds_since_unix(known.report->unix_milliseconds));
  const ProcessState state = process_state(known.report->pid);
  if (state == ProcessState::kGone) view.condition = Condition::kGone;
  if (state == ProcessState::kStopped) view.condition = Condition::kStopped;
  return view;
}

void Peers::forgive() {
  for (auto& [rank, known] : known_) known.changed = Clock::now();
}

void SilenceLog::look_at(const PeerView& peer) {
  const bool left = peer.report && peer.report->state != RankReport::State::kRunning;
  const auto known = silent_since_.find(peer.rank);
  const bool silent = !left && peer.condition != PeerView::Condition::kAlive &&
                      peer.silent_seconds >= std::chrono::duration<double>(silence_).count();
  if (silent && known == silent_since_.end()) {
    const auto silent_for = std::chrono::duration_cast<Clock::duration>(
        std::chrono::duration<double>(peer.silent_seconds));
    silent_since_[peer.rank] = Clock::now() - silent_for;
    if (++reported_ > kMostNamed) return;
    PeerView unheard = peer;
    unheard.condition = PeerView::Condition::kSilent;
    const std::string cause =
        peer.condition == PeerView::Condition::kSilent ? "" : " (it " + absence_of(peer) + ")";
    tools::log_warning(name_of(peer), " ", absence_of(unheard), cause,
                       peer.report ? "; it was in " + place_of(*peer.report) : "");
  } else if (!silent && known != silent_since_.end() &&
             peer.condition == PeerView::Condition::kAlive) {
    const auto seconds = static_cast<std::int64_t>(seconds_since(known->second));
    silent_since_.erase(known);
    if (!left) tools::log_info(name_of(peer), " is heard of again, after ", seconds, " s");
  }
}

void SilenceLog::finish_round() {
  if (reported_ > kMostNamed) {
    tools::log_warning(reported_ - kMostNamed, " more ranks have not been heard of");
  }
  reported_ = 0;
}

}  // namespace titan::watch
