#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <functional>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/text/tokenizer/tokenizer.h"
#include "unit/text/data/data_test_support.h"
#include "unit/text/tokenizer/tokenizer_json.h"

namespace titan::text {
namespace {

using test::build_tokenizer;
using test::Json;
using test::message_of;
using test::small_tokenizer;

std::string error_of(const Json& json) {
  return message_of<RunError>([&] { build_tokenizer(json); });
}

// The small tokenizer with one value replaced: what is said about it.
std::string error_with(const char* pointer, const Json& value) {
  Json json = small_tokenizer();
  json[Json::json_pointer(pointer)] = value;
  return error_of(json);
}

std::string text_error(const std::string& text) {
  return message_of<RunError>([&] { build_tokenizer(text); });
}

std::string config_error(const std::string& config) {
  return message_of<RunError>([&] { build_tokenizer(small_tokenizer().dump(), config); });
}

TEST(TokenizerErrors, FilesThatAreSomethingElse) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 9085657\n";
  const auto error = [](const std::string& name, const std::string& bytes) {
    const test::TemporaryFolder folder;
    test::write_file(folder / "tokenizer.json", small_tokenizer().dump());
    test::write_file(folder / name, bytes);
    if (name == "tokenizer.model") std::filesystem::remove(folder / "tokenizer.json");
    const std::string message =
        message_of<RunError>([&] { build_hf_tokenizer(base::posix_file_system(), folder.path()); });
    const std::string start = "'" + (folder / name) + "' is ";
    EXPECT_EQ(message.find(start), 0u) << message;
    return message.substr(std::min(start.size(), message.size()));
  };
  for (const char* name : {"tokenizer.json", "tokenizer_config.json", "tokenizer.model"}) {
    EXPECT_EQ(error(name, pointer).find("a pointer of Git LFS"), 0u);
  }
  EXPECT_EQ(error("tokenizer.json", "<!doctype html>").find("a page of HTML"), 0u);
  EXPECT_EQ(error("tokenizer.json", std::string("\xff\xfe{\0", 4)).find("text in UTF-16"), 0u);
}

TEST(TokenizerErrors, WhatIsNotBuiltIsRefusedWithItsPlace) {
  const std::string refusal = "not available in this build yet: ";
  EXPECT_EQ(error_with("/normalizer", {{"type", "Precompiled"}}),
            refusal + "the normalizer Precompiled (tokenizer.json: /normalizer)");
  EXPECT_EQ(error_with("/truncation", {{"max_length", 3}}),
            refusal + "truncation (tokenizer.json: /truncation)");
  EXPECT_EQ(error_with("/padding", Json::object()), refusal + "padding (tokenizer.json: /padding)");
  EXPECT_EQ(error_with("/version", "2.0"), refusal + "version 2.0 (tokenizer.json: /version)");
  EXPECT_EQ(error_with("/surprise", 1), refusal + "the key 'surprise' (tokenizer.json: /)");
  EXPECT_EQ(error_with("/model/type", "Unigram"),
            refusal + "the model Unigram (tokenizer.json: /model/type)");
  EXPECT_EQ(error_with("/model/dropout", 0.1),
            refusal + "dropout (tokenizer.json: /model/dropout)");
  EXPECT_EQ(
      error_with("/model/continuing_subword_prefix", "##"),
      refusal + "continuing_subword_prefix (tokenizer.json: /model/continuing_subword_prefix)");
  EXPECT_EQ(error_with("/decoder/type", "CTC"),
            refusal + "the decoder CTC (tokenizer.json: /decoder)");
  EXPECT_EQ(error_with("/pre_tokenizer", {{"type", "UnicodeScripts"}}),
            refusal + "the pre-tokenizer UnicodeScripts (tokenizer.json: /pre_tokenizer)");
  EXPECT_EQ(error_with("/pre_tokenizer/pretokenizers/1",
                       {{"type", "Metaspace"}, {"replacement", "_"}, {"prepend_scheme", "first"}}),
            refusal +
                "prepend_scheme 'first' behind another pre-tokenizer (tokenizer.json: "
                "/pre_tokenizer/pretokenizers/1)");
  EXPECT_EQ(error_with("/post_processor", {{"type", "Other"}}),
            refusal + "a post-processor Other (tokenizer.json: /post_processor)");
  EXPECT_NE(error_with("/pre_tokenizer/pretokenizers/0/pattern/Regex", "a\\b")
                .find("(tokenizer.json: /pre_tokenizer/pretokenizers/0/pattern/Regex)"),
            std::string::npos);
}

TEST(TokenizerErrors, DamagedTables) {
  EXPECT_EQ(error_with("/model/vocab/b", 0),
            "tokens 'a' and 'b' have the same id 0 (tokenizer.json: /model/vocab)");
  EXPECT_EQ(
      error_with("/model/vocab/b", -1),
      "cannot read tokenizer.json: the id must be a whole number, not negative (/model/vocab/b)");
  EXPECT_EQ(
      error_with("/model/vocab/b", "1"),
      "cannot read tokenizer.json: the id must be a whole number, not negative (/model/vocab/b)");
  EXPECT_EQ(
      error_with("/model/vocab/b", {1}),
      "cannot read tokenizer.json: the id must be a whole number, not negative (/model/vocab/b)");
  EXPECT_EQ(error_with("/model/vocab/b", 1ull << 32),
            "cannot read tokenizer.json: the id 4294967296 is not below 4194304 (/model/vocab/b)");
  EXPECT_EQ(error_with("/model/merges/1", {"a", "z"}),
            "the merge of 'a' and 'z' needs the token 'z', which is not in the vocabulary "
            "(tokenizer.json: "
            "/model/merges/1)");
  EXPECT_EQ(error_with("/model/merges/1", {"a", "d"}),
            "the merge of 'a' and 'd' needs the token 'ad', which is not in the vocabulary "
            "(tokenizer.json: "
            "/model/merges/1)");
  for (const Json& merge : {Json{"a"}, Json{"a", "b", "c"}, Json("ab"), Json("a b c"), Json(7),
                            Json(nullptr), Json::object(), Json{"a", 3}, Json{"a", {"b"}}}) {
    EXPECT_EQ(
        error_with("/model/merges/1", merge).find("cannot read tokenizer.json: a merge must be"),
        0u)
        << merge;
  }
  std::string twice = small_tokenizer().dump();
  twice.replace(twice.find("\"b\":1"), 5, "\"a\":1");
  EXPECT_EQ(text_error(twice), "token 'a' comes twice (tokenizer.json: /model/vocab)");
  EXPECT_EQ(error_with("/model/vocab", Json::array()),
            "must be a table (tokenizer.json: /model/vocab)");
  EXPECT_EQ(error_with("/model/merges", "none"), "must be a table (tokenizer.json: /model/merges)");
  EXPECT_EQ(error_with("/model/unk_token", "z"),
            "'z' is not in the vocabulary (tokenizer.json: /model/unk_token)");
}

TEST(TokenizerErrors, WrongTypesElsewhere) {
  EXPECT_EQ(error_with("/added_tokens/0/content", 3),
            "must be a string (tokenizer.json: /added_tokens/0/content)");
  EXPECT_EQ(error_with("/added_tokens/0/lstrip", "no"),
            "must be true or false (tokenizer.json: /added_tokens/0/lstrip)");
  EXPECT_EQ(error_with("/added_tokens/0/id", -4),
            "must be a whole number, not negative (tokenizer.json: /added_tokens/0/id)");
  EXPECT_EQ(error_with("/model", Json()), "'model' is missing (tokenizer.json: /)");
  EXPECT_EQ(text_error("[]"), "must be an object (tokenizer.json: /)");
}

TEST(TokenizerErrors, NoJson) {
  EXPECT_EQ(text_error("{\n  \"model\": oops}"),
            "cannot read tokenizer.json: parse error at line 2, column 12: syntax error while "
            "parsing value - invalid "
            "literal");
  EXPECT_NE(text_error("").find("unexpected end of input"), std::string::npos);
  const std::string whole = small_tokenizer().dump();
  for (std::size_t size = 0; size < whole.size(); size += 7) {
    EXPECT_THROW(build_tokenizer(whole.substr(0, size)), RunError) << size;
  }
}

TEST(TokenizerErrors, HostileSizes) {
  EXPECT_NE(text_error(std::string(1 << 20, '[')).find("nested deeper than 64 levels"),
            std::string::npos);
  std::string values = "[0";
  for (int i = 0; i < 1'000'001; ++i) values += ",0";
  EXPECT_NE(text_error(values + "]").find("more than 1000000 values"), std::string::npos);
}

TEST(TokenizerErrors, Config) {
  EXPECT_EQ(config_error(R"({"bos_token": {"lstrip": true}})"),
            "'content' is missing (config.json: /bos_token)");
  EXPECT_EQ(config_error(R"({"eos_token": 7})"), "must be a string (config.json: /eos_token)");
  EXPECT_EQ(config_error(R"({"added_tokens_decoder": {"x": {"content": "a"}}})"),
            "the key must be a token id (config.json: /added_tokens_decoder/x)");
  EXPECT_EQ(config_error(R"({"added_tokens_decoder": ["x"]})"),
            "must be an object (config.json: /added_tokens_decoder)");
  EXPECT_EQ(config_error("3"), "must be an object (config.json: /)");
}

TEST(TokenizerErrors, Files) {
  test::TemporaryFolder folder;
  const auto error = [&](const std::string& path) {
    return message_of<RunError>([&] { build_hf_tokenizer(base::posix_file_system(), path); });
  };
  EXPECT_EQ(error(folder / "gone"), "Tokenizer path '" + folder.path() + "/gone' does not exist");
  test::write_file(folder / "model.safetensors", "");
  EXPECT_EQ(error(folder.path()),
            "No supported tokenizer files found in '" + folder.path() +
                "'. Available files: [model.safetensors]. Looking for: tokenizer.json, vocab.json "
                "or vocab.txt (with or without merges.txt), tokenizer.model");
  EXPECT_NE(error("./tests/assets/tokenizer/gone").find("are an old layout"), std::string::npos);
  test::write_file(folder / "a.model", "");
  test::write_file(folder / "b.model", "");
  EXPECT_NE(error(folder.path()).find("both " + folder.path() + "/a.model and b.model"),
            std::string::npos);
  test::write_file(folder / "tokenizer.model", "");
  // Or that this build reads none.
  EXPECT_NE(error(folder.path()).find("SentencePiece model"), std::string::npos);
  test::write_file(folder / "vocab.json", "[]");
  EXPECT_EQ(error(folder.path()),
            "must be an object of tokens and their ids (" + folder.path() + "/vocab.json)");
  test::write_file(folder / "tokenizer.json", "{");
  EXPECT_EQ(
      error(folder.path()).find("cannot read " + folder.path() + "/tokenizer.json: parse error"),
      0u);
}

}  // namespace
}  // namespace titan::text
