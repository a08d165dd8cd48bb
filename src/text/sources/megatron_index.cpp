#include "text/sources/megatron_index.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <optional>
#include <string_view>
#include <utility>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::string_view kMagic{"MMIDIDX\0\0", 9};
constexpr std::uint64_t kHeaderBytes = 9 + 8 + 1 + 8 + 8;
constexpr std::int64_t kEntriesHeld = 1024;

std::int64_t read_integer(const char* bytes, std::uint64_t width) {
  if (width == 8) {
    std::int64_t value;
    std::memcpy(&value, bytes, sizeof(value));
    return value;
  }
  std::int32_t value;
  std::memcpy(&value, bytes, sizeof(value));
  return value;
}

// The numbers Megatron gives the types of NumPy; 6 and 7 are floating point.
std::optional<TokenType> find_type(int code) {
  switch (code) {
    case 1:
      return TokenType{1, false};
    case 2:
      return TokenType{1, true};
    case 3:
      return TokenType{2, true};
    case 4:
      return TokenType{4, true};
    case 5:
      return TokenType{8, true};
    case 8:
      return TokenType{2, false};
    default:
      return std::nullopt;
  }
}

}  // namespace

std::int64_t IntegerTable::at(std::int64_t index) {
  TITAN_CHECK(index >= 0 && index < count_, "entry ", index, " of ", count_);
  const std::int64_t first = index - index % kEntriesHeld;
  if (held_.empty() || first != first_) {
    const auto entries = static_cast<std::uint64_t>(std::min(kEntriesHeld, count_ - first));
    held_.resize(entries * width_);
    base::read_exactly(file_, offset_ + static_cast<std::uint64_t>(first) * width_, held_);
    first_ = first;
  }
  return read_integer(held_.data() + static_cast<std::uint64_t>(index - first) * width_, width_);
}

MegatronIndex::MegatronIndex(std::unique_ptr<base::ReadableFile> file, std::uint64_t bin_size)
    : file_(std::move(file)), bin_size_(bin_size) {
  read_header();
}

void MegatronIndex::read_header() {
  const std::uint64_t size = file_->size();
  if (size < kHeaderBytes) fail(concat("it has ", size, " bytes, the header alone 34"));
  std::array<char, kHeaderBytes> header;
  base::read_exactly(*file_, 0, header);
  if (std::string_view(header.data(), kMagic.size()) != kMagic) {
    fail("it does not begin with MMIDIDX");
  }
  const std::int64_t version = read_integer(header.data() + 9, 8);
  if (version != 1) fail(concat("its version is ", version, ", not 1"));
  const int code = static_cast<unsigned char>(header[17]);
  const std::optional<TokenType> type = find_type(code);
  if (!type) {
    fail(concat(code == 6 || code == 7 ? "its tokens are floating-point numbers"
                                       : "its type of tokens is unknown",
                " (code ", code, ")"));
  }
  type_ = *type;
  const std::int64_t sequences = read_integer(header.data() + 18, 8);
  const std::int64_t ends = read_integer(header.data() + 26, 8);
  // Bounded first, so that the sum below does not overflow.
  const auto most = static_cast<std::int64_t>(size / 8);
  if (sequences < 0 || sequences > most || ends < 1 || ends > most) {
    fail(concat("it speaks of ", sequences, " sequences and ", ends,
                " document ends (the first is 0), but has ", size, " bytes"));
  }
  const auto lengths_at = kHeaderBytes;
  const auto offsets_at = lengths_at + static_cast<std::uint64_t>(sequences) * 4;
  const auto ends_at = offsets_at + static_cast<std::uint64_t>(sequences) * 8;
  const auto expected = ends_at + static_cast<std::uint64_t>(ends) * 8;
  if (sequences > 0 && size == expected + static_cast<std::uint64_t>(sequences)) {
    fail("it has a mode for each sequence: multimodal data is not supported");
  }
  if (size != expected) {
    fail(concat("for ", sequences, " sequences and ", ends, " document ends it should have ",
                expected, " bytes, but has ", size));
  }
  lengths_ = std::make_unique<IntegerTable>(*file_, lengths_at, sequences, 4);
  offsets_ = std::make_unique<IntegerTable>(*file_, offsets_at, sequences, 8);
  ends_ = std::make_unique<IntegerTable>(*file_, ends_at, ends, 8);
}

MegatronIndex::Sequence MegatronIndex::sequence(std::int64_t index) {
  const std::int64_t tokens = lengths_->at(index);
  const std::int64_t offset = offsets_->at(index);
  const auto room = static_cast<std::int64_t>(bin_size_);
  if (tokens < 0 || offset < 0 || offset > room ||
      tokens > (room - offset) / static_cast<std::int64_t>(type_.width)) {
    fail(concat("sequence ", index, " has ", tokens, " tokens of ", type_.width,
                " bytes from byte ", offset, " of a .bin of ", bin_size_, " bytes on"));
  }
  return {static_cast<std::uint64_t>(offset), tokens};
}

MegatronIndex::Document MegatronIndex::document(std::int64_t index) {
  const Document document{ends_->at(index), ends_->at(index + 1)};
  if (document.begin < 0 || document.begin > document.end || document.end > lengths_->count()) {
    fail(concat("document ", index, " is the sequences from ", document.begin, " to before ",
                document.end, " of ", lengths_->count()));
  }
  return document;
}

void MegatronIndex::check() {
  std::uint64_t expected = 0;
  for (std::int64_t i = 0; i < lengths_->count(); ++i) {
    const Sequence each = sequence(i);
    if (each.offset != expected) {
      fail(concat("sequence ", i, " begins at byte ", each.offset,
                  " of the .bin, but by the lengths ", "before it, in tokens of ", type_.width,
                  " bytes, at byte ", expected));
    }
    expected += static_cast<std::uint64_t>(each.tokens) * type_.width;
  }
  if (expected != bin_size_) {
    fail(concat("its sequences are ", expected, " bytes, but the .bin has ", bin_size_,
                ": it is another one, or the index was written before all of it was"));
  }
  std::int64_t last = 0;
  for (std::int64_t i = 0; i < documents(); ++i) {
    const Document each = document(i);
    if (i == 0 && each.begin != 0) fail(concat("its documents begin with sequence ", each.begin));
    last = each.end;
  }
  if (last != lengths_->count()) {
    fail(concat("its documents are the first ", last, " of ", lengths_->count(), " sequences"));
  }
}

void MegatronIndex::fail(const std::string& what) const {
  throw RunError(concat("'", file_->path(), "' is no usable Megatron index: ", what));
}

}  // namespace titan::text
