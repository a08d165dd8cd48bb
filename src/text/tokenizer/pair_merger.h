#pragma once

#include <cstdint>
#include <vector>

#include "text/tokenizer/merge_table.h"
#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// Merges neighbouring symbols until no pair of neighbours has a merge, lowest rank first and
/// leftmost first among equals (Sennrich et al. 2016). Immutable; each thread brings its own
/// Workspace.
class PairMerger {
 public:
  class Workspace {
    friend class PairMerger;
    struct Symbol {
      TokenId id;
      std::int32_t previous;
      std::int32_t next;
      bool absorbed;
    };
    struct Candidate {
      std::uint64_t order;  // rank, then position
      TokenId result;
      bool operator<(const Candidate& other) const { return order > other.order; }
    };
    std::vector<std::uint32_t> ranks_;
    std::vector<TokenId> results_;
    std::vector<Symbol> symbols_;
    std::vector<Candidate> candidates_;
  };

  explicit PairMerger(MergeTable merges) : merges_(std::move(merges)) {}

  /// Merges `symbols` in place. Time: O(n log n) in their number.
  void merge(std::vector<TokenId>& symbols, Workspace& workspace) const;

 private:
  void merge_short(std::vector<TokenId>& ids, Workspace& workspace) const;
  void merge_long(std::vector<TokenId>& ids, Workspace& workspace) const;
  void propose(Workspace& workspace, std::int32_t left) const;

  MergeTable merges_;
};

}  // namespace titan::text
