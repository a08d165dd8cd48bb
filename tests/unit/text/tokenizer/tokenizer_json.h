#pragma once

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "text/tokenizer/hf_tokenizer.h"

namespace titan::test {

using Json = nlohmann::ordered_json;

/// A small byte-level BPE tokenizer.json: a to e, blank, and a few merges; `<s>` is an added token.
inline Json small_tokenizer() {
  return Json::parse(R"({
    "version": "1.0", "truncation": null, "padding": null,
    "added_tokens": [{"id": 9, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
                      "normalized": false, "special": true}],
    "normalizer": null,
    "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
      {"type": "Split", "pattern": {"Regex": " ?\\p{L}+|\\s+"}, "behavior": "Isolated", "invert": false},
      {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false}]},
    "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
    "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
    "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": null,
              "end_of_word_suffix": null, "fuse_unk": false, "byte_fallback": false, "ignore_merges": false,
              "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "Ġ": 4, "ab": 5, "cd": 6, "abcd": 7, "Ġa": 8},
              "merges": [["c", "d"], ["a", "b"], ["ab", "cd"], ["Ġ", "a"]]}})");
}

/// Builds the tokenizer from the JSON texts; an empty `config` stands for a missing file.
inline std::unique_ptr<text::HfTokenizer> build_tokenizer(const std::string& json,
                                                          const std::string& config = "") {
  text::TokenizerConfig parsed;
  if (!config.empty()) parsed = text::parse_tokenizer_config(config, "config.json");
  return std::make_unique<text::HfTokenizer>(text::parse_tokenizer_file(json, "tokenizer.json"),
                                             parsed);
}

inline std::unique_ptr<text::HfTokenizer> build_tokenizer(const Json& json, const Json& config) {
  return build_tokenizer(json.dump(), config.is_null() ? "" : config.dump());
}

inline std::unique_ptr<text::HfTokenizer> build_tokenizer(const Json& json) {
  return build_tokenizer(json.dump());
}

}  // namespace titan::test
