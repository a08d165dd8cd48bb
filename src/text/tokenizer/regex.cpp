#include "text/tokenizer/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <new>

#include "text/tokenizer/oniguruma_pattern.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kJitStackStart = 32 << 10;
constexpr std::size_t kJitStackLimit = 16 << 20;
constexpr std::uint32_t kMatchLimit = 10'000'000;
// Ruby's rules, which Oniguruma follows: ^ and $ match at every line. PCRE2 must not check the text
// again for each word.
constexpr std::uint32_t kCompileOptions =
    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE | PCRE2_NEVER_BACKSLASH_C;

const unsigned char* code_units(std::string_view text) {
  return reinterpret_cast<const unsigned char*>(text.data());
}

std::string describe_error(int code) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(code, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

}  // namespace

RegexWorkspace::RegexWorkspace()
    : match_data_(pcre2_match_data_create(1, nullptr)),
      match_context_(pcre2_match_context_create(nullptr)),
      jit_stack_(pcre2_jit_stack_create(kJitStackStart, kJitStackLimit, nullptr)) {
  if (!match_data_ || !match_context_ || !jit_stack_) throw std::bad_alloc();
  pcre2_jit_stack_assign(match_context_, nullptr, jit_stack_);
  pcre2_set_match_limit(match_context_, kMatchLimit);
}

RegexWorkspace::~RegexWorkspace() {
  pcre2_jit_stack_free(jit_stack_);
  pcre2_match_context_free(match_context_);
  pcre2_match_data_free(match_data_);
}

Regex::Regex(std::string_view pattern) {
  const std::string translated = to_pcre2_pattern(pattern);
  int error = 0;
  PCRE2_SIZE offset = 0;
  code_.reset(pcre2_compile(code_units(translated), translated.size(), kCompileOptions, &error,
                            &offset, nullptr));
  if (!code_) {
    throw RegexError(concat("bad regular expression: ", describe_error(error), " at character ",
                            offset, " of ", translated));
  }
  // Where machine code cannot be made the interpreter matches the same.
  pcre2_jit_compile(code_.get(), PCRE2_JIT_COMPLETE);
}

void Regex::Free::operator()(pcre2_real_code_8* code) const { pcre2_code_free(code); }

bool Regex::search(std::string_view text, std::size_t start, RegexWorkspace& workspace,
                   Span& match) const {
  const int rc = pcre2_match(code_.get(), code_units(text), text.size(), start, PCRE2_NO_UTF_CHECK,
                             workspace.match_data_, workspace.match_context_);
  if (rc == PCRE2_ERROR_NOMATCH) return false;
  if (rc < 0) {
    throw RunError(concat("the tokenizer's regular expression failed at byte ", start,
                          " of a text of ", text.size(), " bytes: ", describe_error(rc)));
  }
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(workspace.match_data_);
  match = {offsets[0], offsets[1]};
  return true;
}

}  // namespace titan::text
