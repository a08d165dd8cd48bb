#include "text/tokenizer/sentencepiece_model.h"

#include <array>
#include <cmath>
#include <unordered_map>

#include "text/tokenizer/byte_tokens.h"
#include "text/tokenizer/protobuf_reader.h"
#include "text/tokenizer/utf8.h"
#include "titan/base/errors.h"

namespace titan::text {
namespace {

using PieceType = SentencePieceModel::PieceType;

class ModelParser {
 public:
  ModelParser(std::string_view bytes, const std::string& path) : root_(bytes, path), path_(path) {
    model_.path = path;
  }

  SentencePieceModel parse() {
    while (root_.next()) {
      if (root_.field() == 1) parse_piece(root_.bytes());
      if (root_.field() == 2) parse_trainer_spec(root_.bytes());
      if (root_.field() == 3) parse_normalizer_spec(root_.bytes());
      if (root_.field() == 5) parse_denormalizer_spec(root_.bytes());
    }
    find_special_pieces();
    return std::move(model_);
  }

 private:
  [[noreturn]] void refuse(std::string_view what) const {
    throw RunError(concat("not available in this build yet: ", what, " (", path_, ")"));
  }

  void parse_piece(std::string_view bytes) {
    const std::size_t id = model_.pieces.size();
    if (id >= kMaxTokenIds) root_.fail(concat("more than ", kMaxTokenIds, " pieces"));
    std::string_view text;
    float score = 0;
    std::uint64_t type = 1;
    ProtobufReader piece(bytes, path_);
    while (piece.next()) {
      if (piece.field() == 1) text = piece.bytes();
      if (piece.field() == 2) score = piece.real();
      if (piece.field() == 3) type = piece.varint();
    }
    if (text.empty() || !is_utf8(text)) root_.fail(concat("piece ", id, " is empty or no UTF-8"));
    if (!std::isfinite(score)) root_.fail(concat("the score of piece ", id, " is not finite"));
    if (type < 1 || type > 6) root_.fail(concat("piece ", id, " has the unknown type ", type));
    model_.pieces.push_back(text);
    model_.scores.push_back(score);
    model_.types.push_back(static_cast<PieceType>(type));
  }

  void parse_trainer_spec(std::string_view bytes) {
    ProtobufReader spec(bytes, path_);
    while (spec.next()) {
      switch (spec.field()) {
        case 3:
          read_algorithm(spec.varint());
          break;
        case 24:
          model_.whitespace_as_suffix = spec.flag();
          break;
        case 35:
          model_.byte_fallback = spec.flag();
          break;
        case 44:
          model_.unknown_surface = to_utf8_lossy(spec.bytes());
          break;
        case 46:
          bos_piece_ = spec.bytes();
          break;
        case 47:
          eos_piece_ = spec.bytes();
          break;
        default:
          break;
      }
    }
  }

  void read_algorithm(std::uint64_t number) {
    if (number == 3) refuse("a SentencePiece model of type word");
    if (number == 4) refuse("a SentencePiece model of type char");
    if (number != 1 && number != 2) root_.fail(concat("unknown model type ", number));
    model_.algorithm = static_cast<SentencePieceModel::Algorithm>(number);
  }

  void parse_normalizer_spec(std::string_view bytes) {
    ProtobufReader spec(bytes, path_);
    while (spec.next()) {
      if (spec.field() == 2) model_.character_map = spec.bytes();
      if (spec.field() == 3) model_.add_dummy_prefix = spec.flag();
      if (spec.field() == 4) model_.remove_extra_whitespaces = spec.flag();
      if (spec.field() == 5) model_.escape_whitespaces = spec.flag();
    }
  }

  void parse_denormalizer_spec(std::string_view bytes) {
    ProtobufReader spec(bytes, path_);
    while (spec.next()) {
      if (spec.field() == 2 && !spec.bytes().empty()) refuse("a denormalizer");
    }
  }

  void find_special_pieces() {
    std::optional<TokenId> unknown;
    std::unordered_map<std::string_view, TokenId> ids;
    std::size_t byte_pieces = 0;
    for (TokenId id = 0; id < model_.pieces.size(); ++id) {
      const std::string_view piece = model_.pieces[id];
      if (!ids.emplace(piece, id).second) root_.fail(concat("piece '", piece, "' comes twice"));
      if (model_.types[id] == PieceType::kUnknown) {
        if (unknown) root_.fail("two unknown pieces");
        unknown = id;
      }
      if (model_.types[id] != PieceType::kByte) continue;
      if (!model_.byte_fallback || !byte_of_token(piece) ||
          byte_token(static_cast<unsigned char>(*byte_of_token(piece))) != piece)
        root_.fail(concat("piece '", piece, "' cannot stand for a byte"));
      ++byte_pieces;
    }
    if (!unknown) root_.fail("no unknown piece");
    if (model_.byte_fallback && byte_pieces != 256) root_.fail("not all byte pieces are there");
    model_.unknown = *unknown;
    const auto control = [&](const std::string& piece) -> std::optional<TokenId> {
      const auto found = ids.find(piece);
      if (found == ids.end() || model_.types[found->second] != PieceType::kControl)
        return std::nullopt;
      return found->second;
    };
    model_.bos = control(bos_piece_);
    model_.eos = control(eos_piece_);
  }

  ProtobufReader root_;
  const std::string& path_;
  SentencePieceModel model_;
  std::string bos_piece_ = "<s>";
  std::string eos_piece_ = "</s>";
};

}  // namespace

SentencePieceModel parse_sentencepiece_model(std::string_view bytes, const std::string& path) {
  return ModelParser(bytes, path).parse();
}

PieceTrie make_piece_trie(const SentencePieceModel& model, bool user_defined_only) {
  const auto is_in = [&](TokenId id) {
    return user_defined_only ? model.types[id] == PieceType::kUserDefined : model.is_producible(id);
  };
  std::size_t bytes = 0;
  for (TokenId id = 0; id < model.pieces.size(); ++id)
    if (is_in(id)) bytes += model.pieces[id].size();
  if (bytes >= PieceTrie::kMaxNodes) {
    throw RunError(concat("no SentencePiece model: its pieces have more than ",
                          PieceTrie::kMaxNodes, " bytes (", model.path, ")"));
  }
  PieceTrie trie(bytes);
  for (TokenId id = 0; id < model.pieces.size(); ++id)
    if (is_in(id)) trie.add(model.pieces[id], id);
  return trie;
}

}  // namespace titan::text
