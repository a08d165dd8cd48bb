#include "text/tokenizer/protobuf_reader.h"

#include <bit>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::uint32_t kVarint = 0;
constexpr std::uint32_t kFixed64 = 1;
constexpr std::uint32_t kBytes = 2;
constexpr std::uint32_t kFixed32 = 5;

}  // namespace

bool ProtobufReader::next() {
  if (bytes_.empty()) return false;
  const std::uint64_t tag = take_varint();
  if (tag >> 3 == 0 || tag >> 3 > 0x1FFFFFFF) fail("a field without a number");
  field_ = static_cast<std::uint32_t>(tag >> 3);
  wire_type_ = static_cast<std::uint32_t>(tag & 7);
  switch (wire_type_) {
    case kVarint:
      number_ = take_varint();
      return true;
    case kFixed64:
      content_ = take(8);
      return true;
    case kBytes:
      content_ = take(take_varint());
      return true;
    case kFixed32:
      content_ = take(4);
      return true;
    default:
      fail(concat("field ", field_, " has the unknown wire type ", wire_type_));
  }
}

std::uint64_t ProtobufReader::varint() const {
  expect(kVarint);
  return number_;
}

float ProtobufReader::real() const {
  expect(kFixed32);
  std::uint32_t bits = 0;
  for (int i = 3; i >= 0; --i) bits = bits << 8 | static_cast<unsigned char>(content_[i]);
  return std::bit_cast<float>(bits);
}

std::string_view ProtobufReader::bytes() const {
  expect(kBytes);
  return content_;
}

std::uint64_t ProtobufReader::take_varint() {
  std::uint64_t value = 0;
  for (int shift = 0; shift < 64; shift += 7) {
    const auto byte = static_cast<unsigned char>(take(1)[0]);
    value |= std::uint64_t{byte & 0x7Fu} << shift;
    if (byte < 0x80) return value;
  }
  fail("a number of more than 64 bits");
}

std::string_view ProtobufReader::take(std::uint64_t size) {
  if (size > bytes_.size()) fail("the file is cut off");
  const std::string_view front = bytes_.substr(0, size);
  bytes_.remove_prefix(size);
  return front;
}

void ProtobufReader::expect(std::uint32_t wire_type) const {
  if (wire_type_ != wire_type)
    fail(concat("field ", field_, " has the wire type ", wire_type_, ", not ", wire_type));
}

void ProtobufReader::fail(std::string_view message) const {
  throw RunError(concat("no SentencePiece model: ", message, " (", file_, ")"));
}

}  // namespace titan::text
