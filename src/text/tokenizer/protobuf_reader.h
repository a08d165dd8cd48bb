#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace titan::text {

/// Walks over the fields of one protobuf message in its wire format ("Encoding" in the Protocol
/// Buffers documentation). Refers to bytes and a file name that outlive it.
class ProtobufReader {
 public:
  ProtobufReader(std::string_view bytes, const std::string& file) : bytes_(bytes), file_(file) {}

  /// Goes to the next field, past the one before it; false at the end of the message. This and the
  /// readers below throw RunError naming the file where the bytes are no message, or the field has
  /// another type.
  bool next();
  /// Number of the field.
  std::uint32_t field() const { return field_; }

  std::uint64_t varint() const;
  bool flag() const { return varint() != 0; }
  float real() const;
  /// A string, bytes, or a message.
  std::string_view bytes() const;

  [[noreturn]] void fail(std::string_view message) const;

 private:
  std::uint64_t take_varint();
  std::string_view take(std::uint64_t size);
  void expect(std::uint32_t wire_type) const;

  std::string_view bytes_;
  const std::string& file_;
  std::uint32_t field_ = 0;
  std::uint32_t wire_type_ = 0;
  std::uint64_t number_ = 0;  // of a varint
  std::string_view content_;  // of every other field
};

}  // namespace titan::text
