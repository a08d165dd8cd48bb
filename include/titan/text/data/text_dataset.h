#pragma once

#include <memory>

#include "titan/protocols/data_loader.h"
#include "titan/text/data/text_data_options.h"

namespace titan::base {
class FileSystem;
}
namespace titan::protocols {
class Tokenizer;
}

namespace titan::text {

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

}  // namespace titan::text
