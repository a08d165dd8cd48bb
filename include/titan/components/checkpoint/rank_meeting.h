#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "titan/base/errors.h"

namespace titan::comm {
class ProcessGroup;
}

namespace titan::components {

/// A rank failed, and all ranks know; where a collective fails, the others may know something else.
class FailedTogether : public RunError {
 public:
  using RunError::RunError;
};

/// The ranks that save or load together, on a group of the CPU, or one alone. What fails on one fails on
/// all: between two meetings a rank may throw only where all do.
class RankMeeting {
 public:
  /// `group` null: one rank.
  explicit RankMeeting(comm::ProcessGroup* group) : group_(group) {}

  std::int64_t rank() const;
  std::int64_t size() const;
  bool is_root() const { return rank() == 0; }

  /// Whether it holds on any rank.
  bool any(bool mine) const;

  using Answers = std::vector<std::string>;  // by rank
  /// Every rank brings the result of `mine`; the root makes of all of them, with `judge`, what each
  /// gets back. Throws FailedTogether on all ranks when one of these throws on a rank: what, and
  /// where there are several, on which.
  std::string meet(const std::function<std::string()>& mine,
                   const std::function<Answers(const Answers& all)>& judge) const;
  /// Every rank does its part. Throws as `meet` does.
  void do_together(const std::function<void()>& mine) const;

 private:
  std::string judged(const Answers& replies,
                     const std::function<Answers(const Answers& all)>& judge,
                     Answers& verdicts) const;

  comm::ProcessGroup* group_;
};

}  // namespace titan::components
