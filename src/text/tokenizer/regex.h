#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>

struct pcre2_real_code_8;
struct pcre2_real_match_data_8;
struct pcre2_real_match_context_8;
struct pcre2_real_jit_stack_8;

namespace titan::text {

/// A part of a text, as byte offsets.
struct Span {
  std::size_t begin = 0;
  std::size_t end = 0;
};

/// Memory that matching needs. One thread at a time.
class RegexWorkspace {
 public:
  RegexWorkspace();
  ~RegexWorkspace();
  RegexWorkspace(const RegexWorkspace&) = delete;
  RegexWorkspace& operator=(const RegexWorkspace&) = delete;

 private:
  friend class Regex;
  pcre2_real_match_data_8* match_data_;
  pcre2_real_match_context_8* match_context_;
  pcre2_real_jit_stack_8* jit_stack_;
};

/// A regular expression over UTF-8, compiled to machine code. Immutable.
class Regex {
 public:
  /// `pattern` in Oniguruma's syntax, which is what `tokenizer.json` files hold. Throws RegexError.
  explicit Regex(std::string_view pattern);

  /// The first match that begins at or after byte `start`; false when there is none. `text` must be
  /// UTF-8. Throws RunError when matching takes more than ten million steps.
  bool search(std::string_view text, std::size_t start, RegexWorkspace& workspace,
              Span& match) const;

 private:
  struct Free {
    void operator()(pcre2_real_code_8* code) const;
  };
  std::unique_ptr<pcre2_real_code_8, Free> code_;
};

}  // namespace titan::text
