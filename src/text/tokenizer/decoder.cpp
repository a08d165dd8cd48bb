#include "text/tokenizer/decoder.h"

#include <memory>
#include <utility>

#include "text/tokenizer/byte_alphabet.h"
#include "text/tokenizer/byte_tokens.h"
#include "text/tokenizer/metaspace.h"
#include "text/tokenizer/regex_parts.h"
#include "text/tokenizer/text_pattern.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

constexpr std::size_t kMaxSteps = 64;
constexpr std::size_t kMaxReplacement = 1024;

void byte_level(std::vector<std::string>& tokens) {
  std::string bytes;
  for (const std::string& token : tokens) bytes += bytes_of_characters(token).value_or(token);
  tokens = {to_utf8_lossy(bytes)};
}

// Runs of tokens "<0xE2>" become the text of their bytes, or as many U+FFFD when they are no UTF-8.
void byte_fallback(std::vector<std::string>& tokens) {
  std::vector<std::string> out;
  std::string bytes;
  const auto flush = [&] {
    if (is_utf8(bytes)) {
      out.push_back(bytes);
    } else {
      for (std::size_t i = 0; i < bytes.size(); ++i) out.emplace_back("\uFFFD");
    }
    bytes.clear();
  };
  for (std::string& token : tokens) {
    if (const auto byte = byte_of_token(token)) {
      bytes += *byte;
      continue;
    }
    if (!bytes.empty()) flush();
    out.push_back(std::move(token));
  }
  if (!bytes.empty()) flush();
  tokens = std::move(out);
}

void fuse(std::vector<std::string>& tokens) {
  std::string all;
  for (const std::string& token : tokens) all += token;
  tokens = {std::move(all)};
}

void clean_up(std::string& token) {
  static constexpr std::pair<std::string_view, std::string_view> kRules[] = {
      {" .", "."},   {" ?", "?"},     {" !", "!"},    {" ,", ","},
      {" ' ", "'"},  {" n't", "n't"}, {" 'm", "'m"},  {" do not", " don't"},
      {" 's", "'s"}, {" 've", "'ve"}, {" 're", "'re"}};
  for (const auto& [what, with] : kRules) {
    for (std::size_t at = 0; (at = token.find(what, at)) != std::string::npos; at += with.size())
      token.replace(at, what.size(), with);
  }
}

std::string replaced(const std::string& text, const Regex& pattern, const std::string& with) {
  RegexWorkspace workspace;
  std::string out;
  for_each_part(pattern, text, workspace, [&](Span span, bool is_match) {
    out += is_match ? with : text.substr(span.begin, span.end - span.begin);
  });
  return out;
}

}  // namespace

Decoder::Decoder(const JsonPlace& place) : joins_with_blanks_(false) {
  try {
    add(place);
  } catch (const RunError& error) {
    refusal_ = error.what();
  }
}

void Decoder::add(const JsonPlace& place) {
  const std::string& type = place.at("type").text();
  if (steps_.size() >= kMaxSteps) place.fail(concat("more than ", kMaxSteps, " decoders"));
  if (type == "Sequence") {
    place.expect_keys({"type", "decoders"});
    for (const JsonPlace& member : place.at("decoders").items()) add(member);
  } else if (type == "ByteLevel") {
    place.expect_keys({"type", "add_prefix_space", "trim_offsets", "use_regex"});
    steps_.push_back(byte_level);
  } else if (type == "ByteFallback") {
    place.expect_keys({"type"});
    steps_.push_back(byte_fallback);
  } else if (type == "Fuse") {
    place.expect_keys({"type"});
    steps_.push_back(fuse);
  } else if (type == "Replace") {
    add_replace(place);
  } else if (type == "Strip") {
    add_strip(place);
  } else if (type == "Metaspace") {
    add_metaspace(place);
  } else if (type == "BPEDecoder") {
    add_word_ends(place);
  } else if (type == "WordPiece") {
    add_word_pieces(place);
  } else {
    place.refuse(concat("the decoder ", type));
  }
}

void Decoder::add_replace(const JsonPlace& place) {
  place.expect_keys({"type", "pattern", "content"});
  const std::string& with = place.at("content").text();
  if (with.size() > kMaxReplacement)
    place.at("content").refuse(concat("a replacement of more than ", kMaxReplacement, " bytes"));
  auto pattern = std::make_shared<const Regex>(TextPattern(place.at("pattern")).take_regex());
  steps_.push_back([pattern, with](Tokens& tokens) {
    for (std::string& token : tokens) token = replaced(token, *pattern, with);
  });
}

// Takes up to `start` of the character from the front of each token and up to `stop` from its end.
void Decoder::add_strip(const JsonPlace& place) {
  place.expect_keys({"type", "content", "start", "stop"});
  const std::string& content = place.at("content").text();
  if (content.empty() || decode_utf8(content).length != content.size())
    place.at("content").fail("must be one character");
  const auto start = place.at("start").count();
  const auto stop = place.at("stop").count();
  steps_.push_back([content, start, stop](Tokens& tokens) {
    for (std::string& token : tokens) {
      std::string_view left = token;
      for (std::uint64_t i = 0; i < start && left.starts_with(content); ++i)
        left.remove_prefix(content.size());
      for (std::uint64_t i = 0; i < stop && left.ends_with(content); ++i)
        left.remove_suffix(content.size());
      token = std::string(left);
    }
  });
}

void Decoder::add_metaspace(const JsonPlace& place) {
  const Metaspace metaspace(place);
  steps_.push_back([metaspace](Tokens& tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const bool drops = i == 0 && metaspace.prefix != Metaspace::Prefix::kNever;
      std::string text;
      for (std::string_view rest = tokens[i]; !rest.empty();) {
        if (rest.starts_with(metaspace.replacement)) {
          if (!drops) text += ' ';
          rest.remove_prefix(metaspace.replacement.size());
        } else {
          text += rest.front();
          rest.remove_prefix(1);
        }
      }
      tokens[i] = std::move(text);
    }
  });
}

// The end-of-word suffix becomes a blank, and nothing at the end of the text.
void Decoder::add_word_ends(const JsonPlace& place) {
  place.expect_keys({"type", "suffix"});
  const JsonPlace suffix_place = place.at("suffix");
  const std::string& suffix = suffix_place.text();
  if (suffix.empty()) suffix_place.refuse("an empty suffix");
  steps_.push_back([suffix](Tokens& tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      const std::string_view with = i + 1 == tokens.size() ? "" : " ";
      std::string& token = tokens[i];
      for (std::size_t at = 0; (at = token.find(suffix, at)) != std::string::npos;
           at += with.size())
        token.replace(at, suffix.size(), with);
    }
  });
}

// A blank in front of each token that does not go on with a word; before English punctuation it is
// taken back.
void Decoder::add_word_pieces(const JsonPlace& place) {
  place.expect_keys({"type", "prefix", "cleanup"});
  const auto prefix_place = place.find("prefix");
  const std::string prefix = prefix_place ? prefix_place->text() : "##";
  const bool cleans_up = place.flag_or("cleanup", true);
  steps_.push_back([prefix, cleans_up](Tokens& tokens) {
    for (std::size_t i = 0; i < tokens.size(); ++i) {
      std::string& token = tokens[i];
      if (i > 0 && token.starts_with(prefix)) {
        token.erase(0, prefix.size());
      } else if (i > 0) {
        token.insert(0, 1, ' ');
      }
      if (cleans_up) clean_up(token);
    }
  });
}

std::string Decoder::decode(std::vector<std::string> tokens) const {
  if (refusal_) throw RunError(concat("cannot decode: ", *refusal_));
  for (const Step& step : steps_) step(tokens);
  std::string text;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    if (joins_with_blanks_ && i > 0) text += ' ';
    text += tokens[i];
  }
  return text;
}

}  // namespace titan::text
