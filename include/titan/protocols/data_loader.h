#pragma once

#include <cstdint>
#include <vector>

namespace titan::protocols {

/// One microbatch of one data-parallel rank: row-major `[rows, seq_len]` token ids. A label of -100
/// is not trained on.
struct Batch {
  std::int64_t rows = 0;
  std::int64_t seq_len = 0;
  std::vector<std::int64_t> input;
  std::vector<std::int64_t> labels;
};

/// Where a loader stands: enough to continue at the very next token.
struct DataPosition {
  /// Samples (lines) consumed in the current pass over this rank's share of the data.
  std::int64_t sample_index = 0;
  /// Passes over the data that are complete.
  std::int64_t epoch = 0;
  /// Tokens of consumed samples that no batch has carried yet.
  std::vector<std::int64_t> leftover_tokens;

  bool operator==(const DataPosition&) const = default;
};

/// A stream of microbatches. One consumer thread.
class DataLoader {
 public:
  virtual ~DataLoader() = default;
  /// Fills `batch`, reusing its storage. Returns false when a finite data set is exhausted; the
  /// last batch of one may have fewer rows. Throws RunError (unreadable data, a bad row) naming
  /// file and line.
  virtual bool next(Batch& batch) = 0;
  /// The position after the last batch that `next` returned.
  virtual DataPosition position() const = 0;
  /// Continues as if every batch up to `position` had been consumed.
  virtual void restore(const DataPosition& position) = 0;
};

}  // namespace titan::protocols
