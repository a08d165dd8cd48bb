#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "titan/protocols/data_loader.h"
#include "titan/text/data/tokenize_progress.h"

namespace titan::base {
class FileSystem;
}

namespace titan::text {

/// What stands at the front of a part: which run it belongs to and where that run stands after it.
struct TokenPartHeader {
  /// Of data, options and tokenizer.
  std::string identity;
  protocols::StreamPosition position;
  bool is_last = false;
  /// Of all parts up to this one.
  TokenizeProgress progress;
  /// In this part.
  std::int64_t documents = 0;
  std::int64_t tokens = 0;
  std::int64_t bytes_per_token = 2;
  /// Of what stands behind the header.
  std::string sha256;
};

/// A finished piece of the output of `tokenize_dataset`: a line of JSON, an int32 length for every
/// document, then the tokens.
class TokenPart {
 public:
  TokenPart(TokenPartHeader header, std::uint64_t header_bytes)
      : header_(std::move(header)), header_bytes_(header_bytes) {}

  static std::string path(const std::string& output, std::size_t index);
  /// Makes part `index` durable.
  static void write(base::FileSystem& files, const std::string& output, std::size_t index,
                    TokenPartHeader header, const std::vector<std::int32_t>& lengths,
                    const std::string& tokens);
  /// Nothing when there is no such part. Throws RunError for a damaged one.
  static std::optional<TokenPart> find(base::FileSystem& files, const std::string& output,
                                       std::size_t index);

  const TokenPartHeader& header() const { return header_; }
  std::uint64_t lengths_offset() const { return header_bytes_; }
  std::uint64_t tokens_offset() const {
    return header_bytes_ + 4 * static_cast<std::uint64_t>(header_.documents);
  }
  std::uint64_t token_bytes() const {
    return static_cast<std::uint64_t>(header_.tokens * header_.bytes_per_token);
  }

 private:
  TokenPartHeader header_;
  std::uint64_t header_bytes_;
};

}  // namespace titan::text
