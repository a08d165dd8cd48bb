#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer/piece_trie.h"
#include "text/tokenizer/string_list.h"
#include "text/tokenizer/vocabulary.h"

namespace titan::text {

/// What a SentencePiece `*.model` file holds (ModelProto of sentencepiece_model.proto), checked:
/// pieces are UTF-8, not empty and unique, scores are finite, one piece is the unknown one, all
/// byte pieces are there when they are used.
struct SentencePieceModel {
  enum class Algorithm { kUnigram = 1, kBpe = 2 };
  enum class PieceType { kNormal = 1, kUnknown, kControl, kUserDefined, kUnused, kByte };

  std::string path;
  Algorithm algorithm = Algorithm::kUnigram;
  StringList pieces;  // the id of a piece is its place
  std::vector<float> scores;
  std::vector<PieceType> types;
  TokenId unknown = 0;
  std::optional<TokenId> bos;
  std::optional<TokenId> eos;
  bool byte_fallback = false;
  std::string unknown_surface = " \u2047 ";  // what decoding the unknown piece gives

  bool add_dummy_prefix = true;       // a blank in front of the text
  bool whitespace_as_suffix = false;  // behind the text instead
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;  // blanks become "▁"
  std::string character_map;       // replacement rules, as the file holds them; may be empty

  /// A piece that the algorithm can come by.
  bool is_producible(TokenId id) const {
    return types[id] == PieceType::kNormal || types[id] == PieceType::kUserDefined;
  }
};

/// The pieces that the algorithm can come by, with their ids; `user_defined_only`: those of them that
/// the user defined, which are found before anything else. Throws RunError when they are too long
/// together.
PieceTrie make_piece_trie(const SentencePieceModel& model, bool user_defined_only);

/// Parses the bytes of a file. Throws RunError naming `path`.
SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& path);

}  // namespace titan::text
