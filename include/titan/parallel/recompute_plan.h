#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace titan::parallel {

/// The result of one operator of a block that can be kept for backward instead of being computed again.
struct Recomputable {
  std::string name;             // of the operator
  std::int64_t occurrence = 0;  // among its calls in the block, from 0
  std::int64_t bytes = 0;
  double seconds = 0;  // to compute it again, estimated

  auto operator<=>(const Recomputable&) const = default;
};

/// Which results of a block are kept, so that most seconds are saved with at most so many bytes; of equal choices
/// the one of fewest bytes. A function of its arguments alone: ranks that ask the same decide alike. With more bytes
/// no fewer are used and no less is saved, but for the rounding of sizes in blocks of very many different ones.
std::vector<bool> choose_kept(const std::vector<Recomputable>& results, std::int64_t most_bytes);

/// What a choice comes to.
struct Trade {
  std::int64_t kept_bytes = 0;
  double seconds_again = 0;
};
Trade trade_of(const std::vector<Recomputable>& results, const std::vector<bool>& kept);

}  // namespace titan::parallel
