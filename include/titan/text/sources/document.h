#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace titan::text {

/// What a source yields: a text, a prompt with its response, or tokens. Reused from call to call.
struct Document {
  /// Goes before `text` and is not trained on; empty without one.
  std::string prompt;
  std::string text;
  /// Token ids of a source that stores them, BOS and EOS as stored; then there is no text.
  std::vector<std::int64_t> tokens;
  bool is_tokens = false;
  /// A long text comes in pieces: only the first begins the document (BOS), only the last ends it
  /// (EOS).
  bool begins = true;
  bool ends = true;
};

}  // namespace titan::text
