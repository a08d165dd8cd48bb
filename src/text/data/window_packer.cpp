#include "text/data/window_packer.h"

#include <algorithm>
#include <new>
#include <string_view>
#include <utility>

#include "titan/base/errors.h"
#include "titan/protocols/encode_text.h"
#include "titan/tools/logging.h"

namespace titan::text {
namespace {

using protocols::kDocumentStart;
using protocols::kNotTrained;

constexpr std::int64_t kIdBits = (std::int64_t{1} << 32) - 1;
constexpr std::size_t kKeptText = 4 << 20;  // bytes

}  // namespace

WindowPacker::WindowPacker(DocumentStream stream, const protocols::Tokenizer& tokenizer)
    : stream_(std::move(stream)), tokenizer_(tokenizer), vocab_size_(tokenizer.vocab_size()) {}

bool WindowPacker::next(const Row& row) {
  const std::size_t seq_len = row.input.size();
  if (!hold(seq_len + 1)) return false;
  const std::int64_t* window = tokens_.begin();
  for (std::size_t i = 0; i < seq_len; ++i) {
    const std::int64_t next = window[i + 1];
    row.input[i] = window[i] & kIdBits;
    row.labels[i] = next & kNotTrained ? protocols::kIgnoreIndex : next & kIdBits;
    row.document_starts[i] = window[i] & kDocumentStart ? 1 : 0;
  }
  tokens_ = tokens_.without_first(seq_len + 1);
  ++windows_;
  return true;
}

/// Positions share the tokens, so more are not added to them: the few that are left are copied.
bool WindowPacker::hold(std::size_t count) {
  if (tokens_.size() >= count) return true;
  std::vector<std::int64_t> tokens(tokens_.begin(), tokens_.end());
  bool has_enough = false;
  try {
    has_enough = read_up_to(count, tokens);
  } catch (...) {
    tokens_ = std::move(tokens);
    throw;
  }
  tokens_ = std::move(tokens);
  if (!has_enough && !std::exchange(has_ended_, true)) {
    tools::log_warning("Dataset ", stream_.options().name, " has run out of data");
  }
  return has_enough;
}

/// False when the stream ends before.
bool WindowPacker::read_up_to(std::size_t count, std::vector<std::int64_t>& tokens) try {
  while (tokens.size() < count) {
    if (!stream_.next(document_)) return false;
    const std::size_t before = tokens.size();
    append(document_, tokens);
    if (tokens.size() > before) stream_.useful();
    // What is long is not held beside its tokens until the next one comes.
    if (document_.text.capacity() > kKeptText) std::string().swap(document_.text);
  }
  return true;
} catch (const std::bad_alloc&) {
  throw RunError(
      concat("out of memory at a document of ", stream_.options().name,
             " (the last that was read has ", document_.text.size() + document_.prompt.size(),
             " bytes): its text and its tokens are held whole, several bytes for each of its own. "
             "Divide it into several."));
}

void WindowPacker::append(const Document& document, std::vector<std::int64_t>& tokens) const {
  if (document.is_tokens) {
    append_tokens(document, tokens);
  } else if (document.prompt.empty()) {
    append_text(document.text, document.begins, document.ends, 0, tokens);
  } else {
    append_text(document.prompt, document.begins, /*ends=*/false, kNotTrained, tokens);
    append_text(document.text, /*begins=*/false, document.ends, 0, tokens);
  }
}

void WindowPacker::append_text(std::string_view text, bool begins, bool ends, std::int64_t flags,
                               std::vector<std::int64_t>& tokens) const {
  const auto ids = protocols::encode_text(tokenizer_, text, begins, ends);
  const auto before = static_cast<std::ptrdiff_t>(tokens.size());
  tokens.insert(tokens.end(), ids.begin(), ids.end());  // at once: no room for twice as many
  const auto first = tokens.begin() + before;
  std::for_each(first, tokens.end(), [&](std::int64_t& token) { token |= flags; });
  if (begins && !ids.empty()) *first |= kDocumentStart;
}

/// Stored tokens tell by their BOS, or else by the EOS before, where documents begin.
void WindowPacker::append_tokens(const Document& document,
                                 std::vector<std::int64_t>& tokens) const {
  const std::vector<std::int64_t>& ids = document.tokens;
  const auto bos = tokenizer_.bos_id();
  const auto eos = tokenizer_.eos_id();
  // One token that is both ends a document where it comes last or twice.
  const auto is_end = [&](std::size_t i) {
    return bos == eos && (i + 1 == ids.size() ? document.ends : ids[i + 1] == *eos);
  };
  bool begins = document.begins;
  for (std::size_t i = 0; i < ids.size(); ++i) {
    const std::int64_t id = ids[i];
    if (id < 0 || id >= vocab_size_) {
      throw RunError(concat(stream_.options().name, " holds the token id ", id,
                            ", but the tokenizer has only ", vocab_size_,
                            ": it was made with another one, or data.format is wrong"));
    }
    const bool follows_eos = !bos && eos && !tokens.empty() && (tokens.back() & kIdBits) == *eos;
    const bool starts = begins || (bos && id == *bos && !is_end(i)) || follows_eos;
    tokens.push_back(id | (starts ? kDocumentStart : 0));
    begins = false;
  }
}

protocols::StreamPosition WindowPacker::position() const {
  protocols::StreamPosition position = stream_.position();
  position.leftover_tokens = tokens_;
  position.windows = windows_;
  return position;
}

void WindowPacker::restart() {
  stream_.restart();
  tokens_ = {};
  windows_ = 0;
  has_ended_ = false;
}

void WindowPacker::restore(const std::vector<protocols::StreamPosition>& old_ranks) {
  protocols::StreamPosition mine = stream_.restore(old_ranks);
  const auto is_token = [&](std::int64_t token) {
    return token >= 0 && token <= (kIdBits | kDocumentStart | kNotTrained) &&
           (token & kIdBits) < vocab_size_;
  };
  if (mine.windows < 0 || !std::ranges::all_of(mine.leftover_tokens, is_token)) {
    throw RunError(concat("damaged position in ", stream_.options().name));
  }
  tokens_ = std::move(mine.leftover_tokens);
  windows_ = mine.windows;
  has_ended_ = false;
}

}  // namespace titan::text
