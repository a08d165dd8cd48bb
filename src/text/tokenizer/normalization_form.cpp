#include "text/tokenizer/normalization_form.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>

#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

struct Range {
  std::uint32_t first;
  std::uint32_t last;
};

// utf8proc 2.8 has the tables of Unicode 15.0. Given a decomposition in 12.1 to 15.0:
constexpr Range kNewDecompositions[] = {{0x32FF, 0x32FF},   {0xA7F2, 0xA7F4},   {0xAB69, 0xAB69},
                                        {0x10781, 0x107BA}, {0x11938, 0x11938}, {0x1E030, 0x1E06D},
                                        {0x1F16C, 0x1F16C}, {0x1FBF0, 0x1FBF9}};

// Given a combining class in 10.0 to 15.0, which the package takes for 0.
constexpr Range kNewMarks[] = {
    {0x7FD, 0x7FD},     {0x898, 0x89F},     {0x8CA, 0x8D3},     {0x9FE, 0x9FE},
    {0xC3C, 0xC3C},     {0xD3B, 0xD3C},     {0xEBA, 0xEBA},     {0x1715, 0x1715},
    {0x1ABF, 0x1ACE},   {0x1DF6, 0x1DFA},   {0xA82C, 0xA82C},   {0x10D24, 0x10D27},
    {0x10EAB, 0x10EAC}, {0x10EFD, 0x10EFF}, {0x10F46, 0x10F50}, {0x10F82, 0x10F85},
    {0x11070, 0x11070}, {0x1133B, 0x1133B}, {0x1145E, 0x1145E}, {0x11839, 0x1183A},
    {0x1193D, 0x1193E}, {0x11943, 0x11943}, {0x119E0, 0x119E0}, {0x11A34, 0x11A34},
    {0x11A47, 0x11A47}, {0x11A99, 0x11A99}, {0x11D42, 0x11D42}, {0x11D44, 0x11D45},
    {0x11D97, 0x11D97}, {0x11F41, 0x11F42}, {0x16FF0, 0x16FF1}, {0x1E08F, 0x1E08F},
    {0x1E130, 0x1E136}, {0x1E2AE, 0x1E2AE}, {0x1E2EC, 0x1E2EF}, {0x1E4EC, 0x1E4EF}};

template <std::size_t kCount>
bool is_in(const Range (&ranges)[kCount], char32_t value) {
  return std::any_of(std::begin(ranges), std::end(ranges), [value](const Range& range) {
    return value >= range.first && value <= range.last;
  });
}

int combining_class(char32_t value) {
  const int own = utf8proc_get_property(static_cast<utf8proc_int32_t>(value))->combining_class;
  return own != 0 && is_in(kNewMarks, value) ? 0 : own;
}

bool is_hangul_syllable(char32_t value) { return value >= 0xAC00 && value <= 0xD7A3; }

// A vowel or a final consonant, which joins the syllable before it.
bool is_hangul_tail(char32_t value) {
  return (value >= 0x1161 && value <= 0x1175) || (value >= 0x11A8 && value <= 0x11C2);
}

// The character that the two make, or 0.
char32_t compose_pair(char32_t first, char32_t second) {
  if (first == 0x11935 && second == 0x11930) return 0;  // since Unicode 13
  utf8proc_int32_t pair[] = {static_cast<utf8proc_int32_t>(first),
                             static_cast<utf8proc_int32_t>(second)};
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_COMPOSE | UTF8PROC_STABLE);
  if (utf8proc_normalize_utf32(pair, 2, options) != 1) return 0;
  return static_cast<char32_t>(pair[0]);
}

}  // namespace

NormalizationForm::NormalizationForm(Kind kind)
    : composes_(kind == Kind::kNfc || kind == Kind::kNfkc),
      options_(UTF8PROC_DECOMPOSE | UTF8PROC_STABLE |
               (kind == Kind::kNfkc || kind == Kind::kNfkd ? UTF8PROC_COMPAT : 0)) {
  fill_tables();
}

void NormalizationForm::fill_tables() {
  std::vector<Mark> marks;
  if (composes_) {
    for (char32_t value = 0; value < kTableEnd; ++value) {
      const auto* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(value));
      if (property->decomp_seqindex == UINT16_MAX || property->decomp_type != 0) continue;
      marks.clear();
      decompose(value, marks);
      if (marks.size() > 1 && marks.back().value < kTableEnd)
        combines_->set(marks.back().value);  // more than needed: excluded compositions too
    }
  }
  for (char32_t value = 0; value < kTableEnd; ++value) {
    if (composes_ && is_hangul_tail(value)) combines_->set(value);
    if (combining_class(value) != 0 || (*combines_)[value]) continue;
    const auto* property = utf8proc_get_property(static_cast<utf8proc_int32_t>(value));
    const bool decomposes = property->decomp_seqindex != UINT16_MAX || is_hangul_syllable(value);
    if (decomposes && !(composes_ && is_hangul_syllable(value))) {
      marks.clear();
      decompose(value, marks);
      if (composes_ && marks[0].combining_class == 0) compose(marks);
      if (marks.size() != 1 || marks[0].value != value) continue;
    }
    inert_->set(value);
  }
}

void NormalizationForm::decompose(char32_t value, std::vector<Mark>& out) const {
  if (value >= 0xA000 && is_in(kNewDecompositions, value)) return out.push_back({value, 0});
  if (value == 0x32FF) return out.push_back({value, 0});
  std::array<utf8proc_int32_t, 32> parts{};  // U+FDFA has 18
  int bound_class = 0;
  const auto count =
      utf8proc_decompose_char(static_cast<utf8proc_int32_t>(value), parts.data(), parts.size(),
                              static_cast<utf8proc_option_t>(options_), &bound_class);
  TITAN_CHECK(count >= 0 && count <= std::ssize(parts), "utf8proc cannot decompose a character");
  for (utf8proc_ssize_t i = 0; i < count; ++i) {
    const auto part = static_cast<char32_t>(parts[i]);
    out.push_back({part, combining_class(part)});
  }
}

// Section 3.11 of the Unicode Standard, the Canonical Composition Algorithm: each character joins
// the last starter unless one between them has the same or a higher combining class.
void NormalizationForm::compose(std::vector<Mark>& marks) const {
  std::size_t kept = 0;
  std::size_t starter = marks.size();
  int last_class = -1;  // of the last one kept behind the starter; -1: none is
  for (const Mark& mark : marks) {
    const bool may_combine = mark.value < kTableEnd && (*combines_)[mark.value];
    if (may_combine && starter < kept && last_class < mark.combining_class) {
      if (const char32_t made = compose_pair(marks[starter].value, mark.value)) {
        marks[starter].value = made;
        continue;
      }
    }
    if (mark.combining_class == 0) {
      starter = kept;
      last_class = -1;
    } else {
      last_class = mark.combining_class;
    }
    marks[kept++] = mark;
  }
  marks.resize(kept);
}

void NormalizationForm::append_segment(std::string_view text, std::vector<Mark>& marks,
                                       std::string& out) const {
  marks.clear();
  for (const char *at = text.data(), *end = at + text.size(); at != end;)
    decompose(next_code_point(at), marks);
  for (auto begin = marks.begin(); begin != marks.end();) {
    const auto is_starter = [](const Mark& mark) { return mark.combining_class == 0; };
    const auto first = std::find_if_not(begin, marks.end(), is_starter);
    begin = std::find_if(first, marks.end(), is_starter);
    std::stable_sort(first, begin, [](const Mark& a, const Mark& b) {
      return a.combining_class < b.combining_class;
    });
  }
  if (composes_) compose(marks);
  for (const Mark& mark : marks) append_utf8(mark.value, out);
}

bool NormalizationForm::apply(std::string_view text, std::string& out) const {
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  const char* copied = begin;      // what lies before is in `out`
  const char* last_inert = begin;  // the last place where the text can be cut
  bool changed = false;
  std::vector<Mark> marks;
  for (const char* at = begin; at != end;) {
    const char* const here = at;
    if (is_inert(next_code_point(at))) {
      last_inert = here;
      continue;
    }
    const char* segment_end = at;
    while (at != end && !is_inert(next_code_point(at))) segment_end = at;
    if (!changed) out.clear();
    changed = true;
    out.append(copied, last_inert);
    append_segment({last_inert, segment_end}, marks, out);
    copied = last_inert = at = segment_end;
  }
  if (changed) out.append(copied, end);
  return changed;
}

}  // namespace titan::text
