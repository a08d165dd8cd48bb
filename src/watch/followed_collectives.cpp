#include "watch/followed_collectives.h"

#include <utility>

#include "titan/base/errors.h"

namespace titan::watch {

void FollowedCollectives::add(std::uint64_t id, const comm::CollectiveCall& call,
                              std::unique_ptr<comm::UnderWay> work) {
  const std::lock_guard lock(mutex_);
  drop_ended_in_front();
  Followed& followed = all_.emplace_back();
  followed.id = id;
  followed.group = call.group;
  followed.operation = call.operation;
  followed.sequence = call.sequence;
  followed.ranks = ranks_of(call);
  if (call.peers != nullptr) followed.peers = *call.peers;
  followed.started = Clock::now();
  followed.work = std::move(work);
}

/// In the order of their starts they end, but for groups that overtake one another: those wait for `look`.
void FollowedCollectives::drop_ended_in_front() {
  try {
    while (!all_.empty() && all_.front().work->has_ended()) {
      recorder_->finished(all_.front().id);
      all_.pop_front();
    }
  } catch (const std::exception&) {  // `look` says it
  }
}

std::optional<LostCollective> FollowedCollectives::look() {
  const std::lock_guard lock(mutex_);
  for (auto followed = all_.begin(); followed != all_.end();) {
    std::string error;
    bool ended = false;
    try {
      ended = followed->work->has_ended();
    } catch (const std::exception& failure) {
      error = failure.what();
    }
    if (ended) {
      recorder_->finished(followed->id);
      followed = all_.erase(followed);
      continue;
    }
    const auto waited = Clock::now() - followed->started;
    const std::chrono::milliseconds limit = followed->work->limit();
    if (error.empty() && waited > limit) {
      error = concat("timed out after ", limit.count(), " ms");
    }
    if (!error.empty()) {
      recorder_->failed(followed->id);
      return LostCollective{followed->id,
                            followed->group,
                            followed->operation,
                            followed->sequence,
                            *followed->ranks,
                            followed->peers,
                            std::chrono::duration<double>(waited).count(),
                            error};
    }
    ++followed;
  }
  return std::nullopt;
}

void FollowedCollectives::forgive(std::chrono::steady_clock::duration suspended) {
  const std::lock_guard lock(mutex_);
  for (Followed& followed : all_) followed.started += suspended;
}

void FollowedCollectives::clear() {
  const std::lock_guard lock(mutex_);
  all_.clear();
}

FollowedCollectives::Ranks FollowedCollectives::ranks_of(const comm::CollectiveCall& call) {
  const auto known = ranks_.find(call.group);
  if (known != ranks_.end() && *known->second == *call.ranks) return known->second;
  return ranks_
      .insert_or_assign(std::string(call.group),
                        std::make_shared<const std::vector<std::int64_t>>(*call.ranks))
      .first->second;
}

}  // namespace titan::watch
