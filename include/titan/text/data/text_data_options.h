#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>

#include "titan/config/data.h"

namespace titan::text {

/// What one data-parallel rank reads, and in which shape it wants it.
struct TextDataOptions {
  /// A known name, any case: `c4`, `c4_test`, `c4_validation`.
  std::string dataset = "c4_test";
  /// The place of the data set: a file, or a folder whose files are read in order of their names.
  std::optional<std::string> path;
  /// Formats, fields, order, mixture (instead of `path`), and what to do with bad rows.
  config::Data data;
  /// The order of every pass, with data.shuffle.
  std::uint64_t shuffle_seed = 0;
  std::int64_t dp_rank = 0;
  std::int64_t dp_world_size = 1;
  /// Rows of a batch.
  std::int64_t batch_size = 1;
  /// Tokens of a row.
  std::int64_t seq_len = 2048;
  /// Starts over at the end of the data.
  bool infinite = true;
  /// Batches a background thread keeps ready. 0: every batch is made inside `next`.
  std::size_t prefetch_batches = 2;
};

}  // namespace titan::text
