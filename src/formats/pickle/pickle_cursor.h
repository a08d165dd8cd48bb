#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace titan::formats {

/// Reads the operands of opcodes. Throws RunError naming byte and opcode where the pickle ends
/// first.
class PickleCursor {
 public:
  explicit PickleCursor(std::string_view pickle) : pickle_(pickle) {}

  std::uint64_t left() const { return pickle_.size() - position_; }
  std::uint64_t size() const { return pickle_.size(); }
  /// Where the opcode lies that errors name and new values remember.
  std::uint64_t opcode_at() const { return opcode_at_; }

  unsigned char next_opcode();
  std::string_view take(std::uint64_t count);
  /// The lowest byte first, without a sign.
  std::uint64_t take_number(std::size_t bytes) { return get(take(bytes)); }
  /// Two's complement of 0 to 8 bytes, the lowest first.
  std::int64_t take_long(std::uint64_t size);
  /// 8 bytes, the highest first.
  double take_float();
  /// Up to the next end of line, which is dropped.
  std::string_view take_line();

  [[noreturn]] void fail(const std::string& why) const;

 private:
  static std::uint64_t get(std::string_view bytes);

  std::string_view pickle_;
  std::size_t position_ = 0;
  std::size_t opcode_at_ = 0;
};

}  // namespace titan::formats
