#include "components/metrics/event_record.h"

#include <array>
#include <bit>

#include "titan/base/little_endian.h"

namespace titan::components {
namespace {

constexpr std::uint32_t kReflectedPolynomial = 0x82f63b78;

constexpr std::array<std::uint32_t, 256> make_table() {
  std::array<std::uint32_t, 256> table = {};
  for (std::uint32_t byte = 0; byte < table.size(); ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) {
      crc = (crc >> 1) ^ ((crc & 1) != 0 ? kReflectedPolynomial : 0);
    }
    table[byte] = crc;
  }
  return table;
}

constexpr std::array<std::uint32_t, 256> kTable = make_table();

/// A CRC of bytes that contain their own CRC would be weak, so TFRecord files store this.
std::uint32_t masked_crc(std::string_view bytes) {
  return std::rotr(crc32c(bytes), 15) + 0xa282ead8;
}

/// A serialised protobuf message, field by field.
class Message {
 public:
  void add(int field, double value) {
    begin(field, kFixed64);
    base::put_little(bytes_, std::bit_cast<std::uint64_t>(value), 8);
  }
  void add(int field, float value) {
    begin(field, kFixed32);
    base::put_little(bytes_, std::bit_cast<std::uint32_t>(value), 4);
  }
  void add(int field, std::int64_t value) {
    begin(field, kVarint);
    add_varint(static_cast<std::uint64_t>(value));
  }
  void add(int field, std::string_view value) {
    begin(field, kLengthDelimited);
    add_varint(value.size());
    bytes_ += value;
  }
  const std::string& bytes() const { return bytes_; }

 private:
  enum WireType { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

  void begin(int field, WireType type) {
    add_varint(static_cast<std::uint64_t>(field) << 3 | type);
  }
  void add_varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7f) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

// Field numbers of event.proto and summary.proto, which TensorBoard has kept since its first days.
enum EventField { kWallTime = 1, kStep = 2, kFileVersion = 3, kSummary = 5 };
enum SummaryField { kValue = 1 };
enum ValueField { kTag = 1, kSimpleValue = 2 };

}  // namespace

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~std::uint32_t{0};
  for (const char c : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(c)) & 0xff];
  }
  return ~crc;
}

std::string tfrecord(std::string_view payload) {
  std::string record;
  base::put_little(record, payload.size(), 8);
  base::put_little(record, masked_crc(record), 4);
  record.append(payload);
  base::put_little(record, masked_crc(payload), 4);
  return record;
}

std::string version_event(double wall_time) {
  Message event;
  event.add(kWallTime, wall_time);
  event.add(kFileVersion, std::string_view("brain.Event:2"));
  return event.bytes();
}

std::string scalar_event(double wall_time, std::int64_t step, std::span<const Scalar> scalars) {
  Message summary;
  for (const Scalar& scalar : scalars) {
    Message value;
    value.add(kTag, std::string_view(scalar.tag));
    value.add(kSimpleValue, static_cast<float>(scalar.value));
    summary.add(kValue, std::string_view(value.bytes()));
  }
  Message event;
  event.add(kWallTime, wall_time);
  event.add(kStep, step);
  event.add(kSummary, std::string_view(summary.bytes()));
  return event.bytes();
}

}  // namespace titan::components
