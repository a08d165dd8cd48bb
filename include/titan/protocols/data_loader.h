#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/base/errors.h"
#include "titan/protocols/shared_tokens.h"

namespace titan::protocols {

/// The label of a token that is not trained on.
inline constexpr std::int64_t kIgnoreIndex = -100;

/// One microbatch of one data-parallel rank: row-major `[rows, seq_len]` token ids.
struct Batch {
  std::int64_t rows = 0;
  std::int64_t seq_len = 0;
  std::vector<std::int64_t> input;
  /// The token behind each input token, or kIgnoreIndex.
  std::vector<std::int64_t> labels;
  /// 1 where `input` begins a document. The first token of a row may go on with one.
  std::vector<std::uint8_t> document_starts;
};

/// The order in which passes over the data are read: as the units are numbered, or one that follows
/// from the seed and the number of the pass.
struct PassOrder {
  std::optional<std::uint64_t> seed;

  bool operator==(const PassOrder&) const = default;
};

/// Units of the data that are read one after the other in one pass.
struct UnitRange {
  /// What is numbered: "rows", "blocks", "files", ...
  std::string units;
  std::int64_t pass = 0;
  std::int64_t begin = 0;
  std::int64_t end = -1;  ///< excluded; -1: the end of the data, wherever that is
  std::int64_t step = 1;
  std::int64_t skip = 0;  ///< documents of the unit `begin` that are consumed
  /// When not 0, there is one unit, whose documents skip, skip + stride, ... before number `stop` are
  /// read (-1: as far as the unit goes); ranks share it.
  std::int64_t stride = 0;
  std::int64_t stop = -1;
  /// Nothing: that of the run that reads it.
  std::optional<PassOrder> order = {};

  bool operator==(const UnitRange&) const = default;
};

/// Where one rank stands in one source of data.
struct StreamPosition {
  /// Which data this is; a position is good for the same data only.
  std::string data;
  /// Passes over the data that are complete.
  std::int64_t pass = 0;
  /// What this rank reads in a whole pass; with a stride, of every unit.
  UnitRange share;
  /// What is left of the pass, and of earlier ones when the number of ranks has changed.
  std::vector<UnitRange> left;
  /// Tokens of consumed documents that no batch has carried yet: the id in the low 32 bits, above
  /// them kDocumentStart and kNotTrained.
  SharedTokens leftover_tokens;
  /// Rows of batches made so far.
  std::int64_t windows = 0;

  bool operator==(const StreamPosition&) const = default;
};

inline constexpr std::int64_t kDocumentStart = std::int64_t{1} << 32;
inline constexpr std::int64_t kNotTrained = std::int64_t{1} << 33;

/// Where a loader stands: enough to continue at the very next token. One stream per source of a
/// mixture.
struct DataPosition {
  std::vector<StreamPosition> streams;

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
  /// Begins anew, as if just built.
  virtual void restart() = 0;
  /// Continues where the ranks of a run stood: as if this run's ranks together had consumed every
  /// batch that those had. `ranks` holds the positions of all its data-parallel ranks in order;
  /// there may have been more or fewer than now. Throws RunError when the data is not the same.
  virtual void restore(const std::vector<DataPosition>& ranks) = 0;
  /// Where rank `rank` of `ranks` stands when it has consumed `documents` documents of its first pass,
  /// in order, tokens that fill no batch yet aside. Throws RunError where ranks read no contiguous
  /// rows.
  virtual DataPosition position_after(std::int64_t rank, std::int64_t ranks,
                                      std::int64_t documents) {
    throw RunError("this data is not dealt in rows");
  }
};

}  // namespace titan::protocols
