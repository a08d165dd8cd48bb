#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>

namespace titan::comm {

/// What the ranks of a job know and others do not.
class JobSecret {
 public:
  static constexpr std::size_t kSealSize = 64;

  explicit JobSecret(std::string secret) : secret_(std::move(secret)) {}

  /// Whether there is one. Without, nothing can be told from what a stranger writes.
  bool is_set() const { return !secret_.empty(); }
  /// 64 hexadecimal digits that only who knows the secret can make of this text (HMAC-SHA-256, RFC 2104).
  std::string seal(std::string_view text) const;

 private:
  std::string secret_;
};

/// Whether two seals are equal, in a time that does not say where they differ.
bool same_seal(std::string_view one, std::string_view other);

}  // namespace titan::comm
