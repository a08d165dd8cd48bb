#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "titan/text/data/text_data_options.h"
#include "titan/text/data/tokenize_progress.h"

namespace titan::base {
class FileSystem;
}
namespace titan::protocols {
class Tokenizer;
}

namespace titan::text {

struct TokenizeOptions {
  /// What to read: name, path and [data]. No mixture, no prompts.
  TextDataOptions data;
  /// PATH.bin and PATH.idx are written.
  std::string output;
  /// Changes when token ids would: a run that was interrupted is continued only with the same.
  std::string tokenizer_id;
  /// At least 1.
  int threads = 1;
  /// Tokens that an interruption may cost, in bytes of output.
  std::int64_t part_bytes = 64 << 20;
  /// Called now and then, from the calling thread.
  std::function<void(const TokenizeProgress&)> on_progress;
};

/// Writes all documents of a data set as token ids in Megatron's format (`.bin` and `.idx`), each
/// with BOS and EOS as training sees it: training on the result is training on the text. uint16
/// where the vocabulary allows, else int32.
///
/// Finished parts lie beside the output until it is complete (PATH.part-0, ...); after an
/// interruption the same call goes on behind the last one. Files appear under their names only when
/// complete, the `.idx` last.
///
/// Throws ConfigError for options that cannot be written, RunError for data or a disk that cannot be
/// read or written, an existing output, or parts of another data set or tokenizer.
TokenizeProgress tokenize_dataset(const TokenizeOptions& options,
                                  const protocols::Tokenizer& tokenizer, base::FileSystem& files);

}  // namespace titan::text
