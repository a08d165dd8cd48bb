#include "text/tokenizer/sentencepiece_check.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <vector>

#include "text/tokenizer/utf8.h"
#include "text/tokenizer/vocabulary.h"
#include "titan/base/errors.h"
#include "titan/base/little_endian.h"

namespace titan::text {
namespace {

// The library goes down one call per byte where it sorts pieces into a trie.
constexpr std::size_t kMaxPiece = 4096;
// The library has room for so many matches at one place of a text: of pieces of the user, and of
// replacement rules, which are so many when they are no longer (in the models in use 12 bytes).
constexpr std::size_t kMaxUserMatches = 64;
constexpr std::size_t kMaxRule = 32;
constexpr std::size_t kMaxReplacement = 4096;   // bytes
constexpr std::size_t kMaxRuleNodes = 1 << 20;  // at one depth
constexpr std::uint64_t kUserDefined = 4;
constexpr std::size_t kBlankBytes = 3;  // "▁"

class ModelCheck {
 public:
  ModelCheck(std::string_view model, const std::string& path) : model_(model), path_(path) {}

  CheckedSentencePieceModel run() {
    CheckedSentencePieceModel checked;
    for_each_field(model_, [&](const Field& field) {
      if (field.tag == tag_of(1, kBytes)) check_piece(field.bytes);
      if (field.tag == tag_of(2, kBytes)) check_trainer_spec(field.bytes);
      if (field.tag == tag_of(3, kBytes) || field.tag == tag_of(5, kBytes))
        check_normalizer_spec(field.bytes);
      if (field.tag != tag_of(4, kBytes)) checked.bytes += field.whole;
    });
    check_user_matches();
    checked.growth = growth_;
    return checked;
  }

 private:
  static constexpr std::uint64_t kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5;
  static constexpr std::uint64_t tag_of(std::uint64_t field, std::uint64_t wire_type) {
    return field << 3 | wire_type;
  }

  // A field of a message in protobuf's wire format: with a number or with bytes.
  struct Field {
    std::uint64_t tag = 0;
    std::uint64_t number = 0;
    std::string_view bytes;
    std::string_view whole;  // as it stands in the message
  };

  template <class Visit>
  void for_each_field(std::string_view message, const Visit& visit) const {
    while (!message.empty()) {
      const std::string_view rest = message;
      Field field;
      field.tag = take_varint(message);
      switch (field.tag & 7) {
        case kVarint:
          field.number = take_varint(message);
          break;
        case kFixed64:
          field.bytes = take(message, 8);
          break;
        case kBytes:
          field.bytes = take(message, take_varint(message));
          break;
        case kFixed32:
          field.bytes = take(message, 4);
          break;
        default:
          fail(concat("a field has the unknown wire type ", field.tag & 7));
      }
      if (field.tag >> 32 != 0) fail("a field's number is too large");
      field.whole = rest.substr(0, rest.size() - message.size());
      visit(field);
    }
  }

  std::string_view take(std::string_view& message, std::uint64_t size) const {
    if (size > message.size()) fail("the file is cut off");
    const std::string_view front = message.substr(0, size);
    message.remove_prefix(size);
    return front;
  }

  std::uint64_t take_varint(std::string_view& message) const {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(message, 1)[0]);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    fail("a number of more than 64 bits");
  }

  void check_piece(std::string_view message) {
    if (pieces_ >= kMaxTokenIds) fail(concat("more than ", kMaxTokenIds, " pieces"));
    std::string_view text;
    bool is_user_defined = false;
    for_each_field(message, [&](const Field& field) {
      if (field.tag == tag_of(1, kBytes)) text = field.bytes;
      if (field.tag == tag_of(2, kFixed32)) {
        const auto bits = static_cast<std::uint32_t>(base::get_little(field.bytes));
        if (!std::isfinite(std::bit_cast<float>(bits)))
          fail(concat("the score of piece ", pieces_, " is not finite"));
      }
      if (field.tag != tag_of(3, kVarint)) return;
      if (field.number < 1 || field.number > 6)
        fail(concat("piece ", pieces_, " has the unknown type ", field.number));
      is_user_defined = field.number == kUserDefined;
    });
    if (!is_utf8(text) || text.find('\0') != std::string_view::npos)
      fail(concat("piece ", pieces_, " is no UTF-8 or has a zero byte"));
    if (text.size() > kMaxPiece)
      fail(concat("piece ", pieces_, " has ", text.size(), " bytes, more than ", kMaxPiece));
    if (is_user_defined) user_defined_.push_back(text);
    ++pieces_;
  }

  void check_trainer_spec(std::string_view message) const {
    for_each_field(message, [&](const Field& field) {
      if (field.tag == tag_of(3, kVarint) && (field.number < 1 || field.number > 4))
        fail(concat("unknown model type ", field.number));
      if (field.tag == tag_of(44, kBytes) && !is_utf8(field.bytes))
        fail("the text for the unknown piece is no UTF-8");
    });
  }

  void check_normalizer_spec(std::string_view message) {
    for_each_field(message, [&](const Field& field) {
      if (field.tag == tag_of(2, kBytes) && !field.bytes.empty()) check_rules(field.bytes);
    });
  }

  // Pieces that begin with each other match at the same place.
  void check_user_matches() {
    std::sort(user_defined_.begin(), user_defined_.end());
    std::vector<std::string_view> beginnings;
    for (const std::string_view piece : user_defined_) {
      while (!beginnings.empty() && !piece.starts_with(beginnings.back())) beginnings.pop_back();
      beginnings.push_back(piece);
      if (beginnings.size() > kMaxUserMatches)
        fail(concat("more than ", kMaxUserMatches, " pieces of the user begin with each other"));
    }
  }

  // `precompiled_charsmap`: the size of a double array (Darts-clone), the array, and the
  // replacements, each with a zero byte behind it.
  void check_rules(std::string_view bytes) {
    const std::uint64_t size = bytes.size() < 4 ? 0 : base::get_little(bytes.substr(0, 4));
    if (size == 0 || size % 4 != 0 || size >= bytes.size() - 4) fail_damaged_rules();
    units_.clear();
    for (std::size_t at = 4; at < 4 + size; at += 4)
      units_.push_back(static_cast<std::uint32_t>(base::get_little(bytes.substr(at, 4))));
    replacements_ = bytes.substr(4 + size);
    if (!is_utf8(replacements_)) fail_damaged_rules();
    // By how many bytes of text a node lies below the root; many branches share their ends.
    std::vector<std::uint32_t> level = {offset_of(units_[0])};
    for (std::size_t rule = 1; !level.empty(); ++rule) {
      std::vector<std::uint32_t> next;
      for (const std::uint32_t node : level) check_children(node, rule, next);
      std::sort(next.begin(), next.end());
      next.erase(std::unique(next.begin(), next.end()), next.end());
      level.swap(next);
    }
  }

  // `node`: where the children of a node are, by their byte, the last of `rule` bytes. Appends theirs.
  void check_children(std::uint32_t node, std::size_t rule, std::vector<std::uint32_t>& next) {
    if ((node | 0xFF) >= units_.size()) fail_damaged_rules();
    for (std::uint32_t byte = 0; byte < 256; ++byte) {
      const std::uint32_t unit = units_[node ^ byte];
      if ((unit & (1u << 31 | 0xFF)) != byte) continue;
      if (rule > kMaxRule || next.size() >= kMaxRuleNodes) fail_damaged_rules();
      const std::uint32_t child = node ^ byte ^ offset_of(unit);
      next.push_back(child);
      const bool ends_here = (unit >> 8 & 1) != 0;
      if (ends_here && child < units_.size()) check_replacement(units_[child] & 0x7FFFFFFF, rule);
    }
  }

  void check_replacement(std::uint32_t offset, std::size_t rule) {
    if (offset >= replacements_.size()) fail_damaged_rules();
    std::string_view text = replacements_.substr(offset);
    text = text.substr(0, text.find('\0'));
    if (!is_utf8(text) || text.size() > kMaxReplacement) fail_damaged_rules();
    const std::size_t blanks = static_cast<std::size_t>(std::count(text.begin(), text.end(), ' '));
    const std::size_t made = text.size() + blanks * (kBlankBytes - 1);
    growth_ = std::max(growth_, (made + rule - 1) / rule);
  }

  static std::uint32_t offset_of(std::uint32_t unit) {
    return (unit >> 10) << ((unit & (1u << 9)) >> 6);
  }

  [[noreturn]] void fail_damaged_rules() const { fail("its replacement rules are damaged"); }
  [[noreturn]] void fail(std::string_view message) const {
    throw RunError(concat("no SentencePiece model: ", message, " (", path_, ")"));
  }

  std::string_view model_;
  const std::string& path_;
  std::size_t pieces_ = 0;
  std::vector<std::string_view> user_defined_;
  std::vector<std::uint32_t> units_;
  std::string_view replacements_;
  std::size_t growth_ = kBlankBytes;  // of a blank
};

}  // namespace

CheckedSentencePieceModel check_sentencepiece_model(std::string_view model,
                                                    const std::string& path) {
  return ModelCheck(model, path).run();
}

}  // namespace titan::text
