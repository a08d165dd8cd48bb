#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "titan/protocols/data_loader.h"

namespace titan::base {
class FileSystem;
}
namespace titan::protocols {
class Tokenizer;
}

namespace titan::components {

/// What one data-parallel rank reads, and in which shape it wants it.
struct TextDataOptions {
  /// A known name, any case: `c4_test`.
  std::string dataset = "c4_test";
  /// Overrides the place of the data set: a `.jsonl` or `.json` file, or a folder of them (read in
  /// order of their names).
  std::optional<std::string> path;
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

/// Loads text, one JSON object with a string `text` per line, as packed batches.
///
/// A rank owns a contiguous share of the lines. Each text is encoded with BOS and EOS; the tokens
/// of all texts in a row are cut into windows of `seq_len + 1` without overlap (input: all but the
/// last token, labels: all but the first). What does not fill a window is carried on, across the
/// end of the data too; a finite data set drops it at its end.
///
/// `tokenizer` and `files` must outlive the loader. Throws ConfigError for a name that is not a
/// data set, RunError when there is no usable data.
std::unique_ptr<protocols::DataLoader> build_text_dataloader(const TextDataOptions& options,
                                                             const protocols::Tokenizer& tokenizer,
                                                             base::FileSystem& files);

}  // namespace titan::components
