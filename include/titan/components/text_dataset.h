#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "titan/config/data.h"
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

/// Loads documents as packed batches.
///
/// A rank owns a share of the documents (open_source says of what they are dealt in). Each text is
/// encoded with BOS and EOS; the tokens of all documents in a row are cut into windows of
/// `seq_len + 1` without overlap (input: all but the last token, labels: all but the first; a
/// prompt's tokens are no labels). What does not fill a window is carried on, across the end of the
/// data too; a finite data set drops it at its end. Of a mixture, each row comes from one source.
///
/// `tokenizer` and `files` must outlive the loader. Throws ConfigError for a name that is not a
/// data set or options that contradict each other, RunError when there is no usable data.
std::unique_ptr<protocols::DataLoader> build_text_dataloader(const TextDataOptions& options,
                                                             const protocols::Tokenizer& tokenizer,
                                                             base::FileSystem& files);

}  // namespace titan::components
