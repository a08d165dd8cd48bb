#pragma once

#include <cstdint>

namespace titan::text {

/// How far `tokenize_dataset` has come, what earlier runs did included.
struct TokenizeProgress {
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  std::int64_t text_bytes = 0;
  /// Of the data, in [0, 1].
  double fraction = 0;
};

}  // namespace titan::text
