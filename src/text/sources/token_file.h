#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "titan/base/file_system.h"

namespace titan::text {

/// How a token id is stored: an integer of so many bytes, little-endian.
struct TokenType {
  std::uint64_t width = 2;
  bool is_signed = false;
};

/// Reads token ids at any place of a file.
class TokenFile {
 public:
  TokenFile(std::unique_ptr<base::ReadableFile> file, TokenType type);

  /// Adds the `count` ids from byte `offset` on to `tokens`. Throws RunError when the file cannot be
  /// read, ends before, or holds a negative id there.
  void read(std::uint64_t offset, std::int64_t count, std::vector<std::int64_t>& tokens) const;
  std::uint64_t size() const { return file_->size(); }
  const std::string& path() const { return file_->path(); }
  const TokenType& type() const { return type_; }

 private:
  std::unique_ptr<base::ReadableFile> file_;
  TokenType type_;
};

}  // namespace titan::text
