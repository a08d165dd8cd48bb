#include "watch/verdict.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <functional>

#include "titan/base/errors.h"

namespace titan::watch {
namespace {

constexpr std::size_t kMostNamed = 4;

/// 0.42, 9.3, 31: as many digits as anybody wants to read.
std::string seconds_text(double seconds) {
  if (seconds >= 9.95) return concat(std::llround(seconds), " s");
  return concat(std::round(seconds * 10) / 10, " s");
}

std::string collective_text(const FailedCollective& failed) {
  return concat(failed.operation, " #", failed.sequence, " of ", failed.group);
}

const GroupProgress* progress_in(const PeerView& peer, const std::string& group) {
  if (!peer.report) return nullptr;
  const auto found = std::ranges::find(peer.report->groups, group, &GroupProgress::group);
  return found == peer.report->groups.end() ? nullptr : &*found;
}

bool is_alive(const PeerView& peer) {
  return peer.condition == PeerView::Condition::kAlive && peer.report &&
         peer.report->state == RankReport::State::kRunning;
}

bool never_entered(const PeerView& peer, const FailedCollective& failed) {
  if (!is_alive(peer) || !failed.peers.empty()) return false;
  const GroupProgress* last = progress_in(peer, failed.group);
  return last == nullptr || last->sequence < failed.sequence;
}

bool called_another(const PeerView& peer, const FailedCollective& failed) {
  if (!is_alive(peer) || !failed.peers.empty()) return false;
  const GroupProgress* last = progress_in(peer, failed.group);
  return last != nullptr && last->sequence == failed.sequence &&
         last->operation != failed.operation;
}

/// "A, B, C, D and 3 more ranks".
std::string list_of(const std::vector<const PeerView*>& peers,
                    const std::function<std::string(const PeerView&)>& text) {
  std::string all;
  for (std::size_t i = 0; i < peers.size() && i < kMostNamed; ++i) {
    all += (i == 0 ? "" : i + 1 == peers.size() ? " and " : ", ") + text(*peers[i]);
  }
  if (peers.size() > kMostNamed) all += concat(" and ", peers.size() - kMostNamed, " more ranks");
  return all;
}

std::string absent_sentence(const PeerView& peer) {
  std::string text = name_of(peer) + " " + absence_of(peer);
  const bool left = peer.report && peer.report->state != RankReport::State::kRunning;
  if (peer.report && !left) text += "; it was in " + place_of(*peer.report);
  return text;
}

std::string late_sentence(const std::vector<const PeerView*>& late,
                          const FailedCollective& failed) {
  if (late.size() == 1) {
    return concat(name_of(*late[0]), " never entered ", collective_text(failed), "; it is in ",
                  place_of(*late[0]->report));
  }
  return list_of(late,
                 [](const PeerView& peer) {
                   return name_of(peer) + ", in " + place_of(*peer.report) + ",";
                 }) +
         " never entered " + collective_text(failed);
}

/// Ranks count messages each for itself, so that it is not known which of the peers did not come.
std::string unanswered_sentence(const std::vector<PeerView>& peers,
                                const FailedCollective& failed) {
  std::vector<const PeerView*> asked;
  for (const PeerView& peer : peers) {
    const bool is_asked = std::ranges::find(failed.peers, peer.rank) != failed.peers.end();
    if (is_asked && is_alive(peer)) asked.push_back(&peer);
  }
  if (asked.empty()) return collective_text(failed) + " failed";
  if (asked.size() == 1) {
    return concat(name_of(*asked[0]), " did not answer ", collective_text(failed), "; it is in ",
                  place_of(*asked[0]->report));
  }
  return concat(list_of(asked,
                        [](const PeerView& peer) {
                          return name_of(peer) + ", in " + place_of(*peer.report) + ",";
                        }),
                " are alive, and one of them did not answer ", collective_text(failed));
}

std::string culprit_sentence(const FailedCollective& failed, const std::vector<PeerView>& peers) {
  std::vector<const PeerView*> absent;
  std::vector<const PeerView*> late;
  std::vector<const PeerView*> other;
  for (const PeerView& peer : peers) {
    if (!absence_of(peer).empty()) absent.push_back(&peer);
    if (never_entered(peer, failed)) late.push_back(&peer);
    if (called_another(peer, failed)) other.push_back(&peer);
  }
  // A rank that reported its own error is the cause of those that merely went after it.
  std::ranges::stable_sort(absent, std::greater(), [](const PeerView* peer) {
    return peer->report && peer->report->state == RankReport::State::kFailed;
  });
  if (!absent.empty()) return list_of(absent, absent_sentence);
  if (!other.empty()) {
    const auto text = [&](const PeerView& peer) {
      return name_of(peer) + " called " + progress_in(peer, failed.group)->operation;
    };
    return concat(list_of(other, text), " where rank ", failed.rank, " called ",
                  collective_text(failed), ": the ranks do not run the same program");
  }
  if (!late.empty()) return late_sentence(late, failed);
  if (peers.empty()) return collective_text(failed) + " failed";
  if (!failed.peers.empty()) return unanswered_sentence(peers, failed);
  return collective_text(failed) + " failed although all ranks entered it";
}

}  // namespace

std::string name_of(const PeerView& peer) {
  if (!peer.report) return concat("rank ", peer.rank);
  return concat("rank ", peer.rank, " (host ", peer.report->host, ", pid ", peer.report->pid, ")");
}

std::string place_of(const RankReport& report) {
  constexpr double kWorthSaying = 5;
  std::string text = concat(report.phase.name, " of step ", report.phase.step);
  if (report.phase.seconds >= kWorthSaying) {
    text += ", for " + seconds_text(report.phase.seconds);
  }
  if (report.pending && report.pending->seconds >= kWorthSaying) {
    const GroupProgress& what = report.pending->what;
    text += concat(", waiting in ", what.operation, " #", what.sequence, " of ", what.group);
  }
  return text;
}

std::string absence_of(const PeerView& peer) {
  if (peer.report && peer.report->state == RankReport::State::kFailed) {
    return "ended with an error: " + peer.report->error;
  }
  if (peer.report && peer.report->state == RankReport::State::kDone) return "has ended";
  switch (peer.condition) {
    case PeerView::Condition::kGone:
      return "is gone (its process has ended or was killed)";
    case PeerView::Condition::kStopped:
      return "is stopped (SIGSTOP, or a debugger holds it)";
    case PeerView::Condition::kSilent:
      if (!peer.report) return "has never been heard of";
      return concat("has not been heard of for ", seconds_text(peer.silent_seconds),
                    ": it is stopped, dead, or its machine hangs");
    case PeerView::Condition::kAlive:
      break;
  }
  return {};
}

bool says_time_is_over(std::string error) {
  std::ranges::transform(error, error.begin(), [](unsigned char c) { return std::tolower(c); });
  return error.find("timed out") != std::string::npos || error.find("timeout") != std::string::npos;
}

std::string describe_failure(const FailedCollective& failed, const std::vector<PeerView>& peers) {
  const std::string option =
      failed.step <= 1 ? "comm.init_timeout_seconds" : "comm.train_timeout_seconds";
  const std::string advice =
      says_time_is_over(failed.error) ? "; raise " + option + " where that is too short" : "";
  std::string error = failed.error.substr(0, 500);
  std::ranges::replace(error, '\n', ' ');
  return concat(culprit_sentence(failed, peers), ". Rank ", failed.rank, " waited ",
                seconds_text(failed.waited_seconds), " in ", collective_text(failed), " at step ",
                failed.step, advice, ". (", error, ")");
}

std::string traces_note(const std::string& folder) {
  return folder.empty() ? "" : " Stacks and last collectives of the ranks: " + folder;
}

}  // namespace titan::watch
