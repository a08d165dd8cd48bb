#include "formats/pickle/pickle_cursor.h"

#include <bit>

#include "formats/pickle/pickle_graph.h"
#include "titan/base/little_endian.h"

namespace titan::formats {

unsigned char PickleCursor::next_opcode() {
  opcode_at_ = position_;
  return static_cast<unsigned char>(take(1)[0]);
}

std::string_view PickleCursor::take(std::uint64_t count) {
  if (count > left()) {
    fail(concat("needs ", count, " bytes, but the pickle ends after ", left(), " more"));
  }
  const std::string_view bytes = pickle_.substr(position_, count);
  position_ += count;
  return bytes;
}

std::int64_t PickleCursor::take_long(std::uint64_t size) {
  if (size > 8) {
    fail(concat("an integer of ", size, " bytes; up to 8 are read"));
  }
  const std::string_view bytes = take(size);
  std::uint64_t value = get(bytes);
  if (size > 0 && size < 8 && (bytes.back() & 0x80) != 0) {
    value |= ~std::uint64_t{0} << (8 * size);
  }
  return static_cast<std::int64_t>(value);
}

double PickleCursor::take_float() {
  const std::string_view bytes = take(8);
  return std::bit_cast<double>(get(std::string(bytes.rbegin(), bytes.rend())));
}

std::string_view PickleCursor::take_line() {
  const std::size_t end = pickle_.find('\n', position_);
  if (end == std::string_view::npos) {
    fail("a name without an end of line");
  }
  const std::string_view line = take(end - position_);
  ++position_;
  return line;
}

std::uint64_t PickleCursor::get(std::string_view bytes) { return base::get_little(bytes); }

void PickleCursor::fail(const std::string& why) const {
  throw pickle_error(pickle_, opcode_at_, why);
}

}  // namespace titan::formats
