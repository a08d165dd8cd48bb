#include "titan/components/checkpoint/rank_meeting.h"

#include <ATen/ops/full.h>

#include <exception>

#include "titan/base/errors.h"
#include "titan/comm/byte_exchange.h"

namespace titan::components {
namespace {

// The first byte of what goes around.
constexpr char kDone = '+';
constexpr char kFailed = '-';

/// The reason of the first rank that failed, and how many others did; empty when none did.
std::string failure_of(const std::vector<std::string>& replies) {
  std::string reason;
  std::size_t failed = 0;
  for (std::size_t rank = 0; rank < replies.size(); ++rank) {
    if (replies[rank].starts_with(kDone)) continue;
    if (++failed > 1) continue;
    const std::string why = replies[rank].substr(replies[rank].empty() ? 0 : 1);
    reason = replies.size() == 1 ? why : concat("rank ", rank, ": ", why);
  }
  if (failed > 1) {
    reason += concat(" (and ", failed - 1, failed == 2 ? " rank" : " ranks", " more failed)");
  }
  return reason;
}

}  // namespace

std::int64_t RankMeeting::rank() const { return group_ == nullptr ? 0 : group_->rank(); }
std::int64_t RankMeeting::size() const { return group_ == nullptr ? 1 : group_->size(); }

bool RankMeeting::any(bool mine) const {
  if (group_ == nullptr) return mine;
  const at::Tensor flag = at::full({1}, mine ? 1 : 0, at::kLong);
  group_->all_reduce(flag, comm::ReduceOp::kMax).wait();
  return *flag.const_data_ptr<std::int64_t>() != 0;
}

/// Fills the verdicts of all ranks; returns why there is none, or nothing.
std::string RankMeeting::judged(const Answers& replies,
                                const std::function<Answers(const Answers& all)>& judge,
                                Answers& verdicts) const {
  if (std::string failure = failure_of(replies); !failure.empty()) return failure;
  try {
    Answers all;
    for (const std::string& reply : replies) all.push_back(reply.substr(1));
    verdicts = judge(all);
    TITAN_CHECK(verdicts.size() == replies.size(), "a verdict for each rank is wanted");
  } catch (const std::exception& error) {
    return replies.size() == 1 ? error.what() : concat("rank 0: ", error.what());
  }
  for (std::string& verdict : verdicts) verdict.insert(verdict.begin(), kDone);
  return {};
}

std::string RankMeeting::meet(const std::function<std::string()>& mine,
                              const std::function<Answers(const Answers& all)>& judge) const {
  std::string reply;
  try {
    reply = kDone + mine();
  } catch (const std::exception& error) {
    reply = kFailed + std::string(error.what());
  }
  const Answers replies = group_ == nullptr ? Answers{reply} : comm::gather_bytes(*group_, reply);
  Answers verdicts;
  if (is_root()) {
    const std::string failure = judged(replies, judge, verdicts);
    if (!failure.empty()) verdicts.assign(replies.size(), kFailed + failure);
  }
  const std::string verdict =
      group_ == nullptr ? verdicts.front() : comm::scatter_bytes(*group_, verdicts);
  if (!verdict.starts_with(kDone)) throw FailedTogether(verdict.substr(1));
  return verdict.substr(1);
}

void RankMeeting::do_together(const std::function<void()>& mine) const {
  meet(
      [&] {
        mine();
        return std::string();
      },
      [](const Answers& all) { return Answers(all.size()); });
}

}  // namespace titan::components
