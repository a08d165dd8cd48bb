#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "titan/comm/store.h"

namespace titan::watch {

/// Who gave up a job, and why, in text that can be shown.
struct Abort {
  std::int64_t rank = 0;
  std::string reason;
};

/// What the store of a job says of its end: the first rank that gives up makes the sentence of all, and every rank says
/// when it has written what it was doing. All throw what the store throws.
class JobEnd {
 public:
  JobEnd(std::shared_ptr<comm::Store> store, std::int64_t rank)
      : store_(std::move(store)), rank_(rank) {}

  /// Nothing where nobody has given up, or the store holds something else.
  std::optional<Abort> find() const;
  /// Gives up. Returns the sentence of the job: another rank's, where one was first.
  std::string claim(const std::string& sentence);
  /// This rank has written its stack.
  void note_dump();
  /// How many ranks have.
  std::int64_t dumps() const;

 private:
  std::shared_ptr<comm::Store> store_;
  std::int64_t rank_;
};

}  // namespace titan::watch
