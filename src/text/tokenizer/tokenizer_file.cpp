#include "text/tokenizer/tokenizer_file.h"

#include "titan/base/errors.h"

namespace titan::text {
namespace {

// Routes parser events: the members of /model/vocab and the elements of /model/merges go to their
// lists, all else to the document.
class TokenizerFileReader final : public JsonDocumentBuilder {
 public:
  /// `is_vocabulary`: the whole file is what else is /model/vocab.
  explicit TokenizerFileReader(TokenizerFile& file, bool is_vocabulary = false)
      : file_(file), is_vocabulary_(is_vocabulary) {}

  bool key(string_t& key) override {
    if (table_ == Table::kNone) {
      if (depth() == 1) in_model_ = key == "model";
      return JsonDocumentBuilder::key(key);
    }
    if (table_ == Table::kMerges) fail_merge();
    file_.tokens.push_back(key);
    return true;
  }

  bool number_unsigned(number_unsigned_t value) override {
    if (table_ == Table::kNone) return JsonDocumentBuilder::number_unsigned(value);
    if (table_ == Table::kMerges) fail_merge();
    if (table_ == Table::kPieces) return push_score(static_cast<double>(value));
    if (value >= kMaxTokenIds) fail_token(concat("the id ", value, " is not below ", kMaxTokenIds));
    file_.token_ids.push_back(static_cast<TokenId>(value));
    return true;
  }

  bool string(string_t& value) override {
    if (table_ == Table::kNone) return JsonDocumentBuilder::string(value);
    if (table_ == Table::kVocabulary) fail_value();
    if (table_ == Table::kPieces) return push_piece(value);
    if (in_pair_) {
      if (++halves_ > 2) fail_merge();
      file_.merge_halves.push_back(value);
    } else if (!value.starts_with("#version")) {
      push_written_merge(value);
    }
    return true;
  }

  bool start_object(std::size_t size) override {
    if (table_ != Table::kNone) fail_value();
    if (!is_model_member("vocab") && !is_vocabulary_)
      return JsonDocumentBuilder::start_object(size);
    begin_table(Table::kVocabulary, vocabulary_seen_);
    return true;
  }

  bool start_array(std::size_t size) override {
    if (table_ == Table::kVocabulary || in_pair_) fail_value();
    if (table_ == Table::kMerges || table_ == Table::kPieces) {
      in_pair_ = true;
      halves_ = 0;
      return true;
    }
    if (is_model_member("merges")) {
      begin_table(Table::kMerges, merges_seen_);
    } else if (is_model_member("vocab")) {
      begin_table(Table::kPieces, vocabulary_seen_);
    } else {
      return JsonDocumentBuilder::start_array(size);
    }
    return true;
  }

  bool end_array() override {
    if (table_ == Table::kNone) return JsonDocumentBuilder::end_array();
    if (!in_pair_) return end_table();
    if (halves_ != 2) fail_value();
    in_pair_ = false;
    return true;
  }

  bool end_object() override {
    return table_ == Table::kVocabulary ? end_table() : JsonDocumentBuilder::end_object();
  }

  bool null() override { return put_scalar(nullptr); }
  bool boolean(bool value) override { return put_scalar(value); }
  bool number_integer(number_integer_t value) override {
    return table_ == Table::kPieces ? push_score(static_cast<double>(value)) : put_scalar(value);
  }
  bool number_float(number_float_t value, const string_t&) override {
    return table_ == Table::kPieces ? push_score(value) : put_scalar(value);
  }

 private:
  enum class Table { kNone, kVocabulary, kPieces, kMerges };

  bool is_model_member(std::string_view name) const {
    return in_model_ && depth() == 2 && last_key() == name;
  }

  // The document remembers that the table was there.
  void begin_table(Table table, bool& seen) {
    if (seen) throw RunError(concat("comes twice: /model/", last_key()));
    seen = true;
    put(table == Table::kPieces ? Json(kPiecesMark) : Json(true));
    table_ = table;
  }

  bool end_table() {
    table_ = Table::kNone;
    return true;
  }

  bool push_piece(std::string_view token) {
    if (!in_pair_ || halves_++ != 0) fail_piece();
    if (file_.tokens.size() >= kMaxTokenIds) fail_piece();
    file_.token_ids.push_back(static_cast<TokenId>(file_.tokens.size()));
    file_.tokens.push_back(token);
    return true;
  }

  bool push_score(double score) {
    if (!in_pair_ || halves_++ != 1) fail_piece();
    file_.scores.push_back(score);
    return true;
  }

  bool put_scalar(Json value) {
    if (table_ != Table::kNone) fail_value();
    return put(std::move(value));
  }

  // "left right", the form before tokenizers 0.20.
  void push_written_merge(std::string_view merge) {
    const std::size_t blank = merge.find(' ');
    if (blank == std::string_view::npos || merge.find(' ', blank + 1) != std::string_view::npos)
      fail_merge();
    file_.merge_halves.push_back(merge.substr(0, blank));
    file_.merge_halves.push_back(merge.substr(blank + 1));
  }

  [[noreturn]] void fail_value() const {
    if (table_ == Table::kMerges) fail_merge();
    if (table_ == Table::kPieces) fail_piece();
    fail_token("the id must be a whole number, not negative");
  }
  [[noreturn]] void fail_merge() const {
    throw RunError(concat("a merge must be [\"left\", \"right\"] or \"left right\" (/model/merges/",
                          file_.merge_halves.size() / 2, ")"));
  }
  [[noreturn]] void fail_piece() const {
    throw RunError(concat("a token must be [\"text\", score], of which there are fewer than ",
                          kMaxTokenIds, " (/model/vocab/", file_.scores.size(), ")"));
  }
  [[noreturn]] void fail_token(std::string_view message) const {
    const std::string_view token = file_.tokens[file_.tokens.size() - 1];
    throw RunError(
        concat(message, " (", is_vocabulary_ ? "" : "/model/vocab", pointer_step(token), ")"));
  }

  TokenizerFile& file_;
  bool is_vocabulary_;
  Table table_ = Table::kNone;
  bool in_model_ = false;
  bool in_pair_ = false;
  int halves_ = 0;
  bool vocabulary_seen_ = false;
  bool merges_seen_ = false;
};

}  // namespace

TokenizerFile parse_tokenizer_file(std::string_view bytes, const std::string& path) {
  TokenizerFile file;
  file.path = path;
  TokenizerFileReader reader(file);
  parse_json(bytes, path, reader);
  file.document = reader.take();
  return file;
}

void parse_vocabulary_json(std::string_view bytes, const std::string& path, TokenizerFile& file) {
  TokenizerFileReader reader(file, /*is_vocabulary=*/true);
  parse_json(bytes, path, reader);
  if (!reader.take().is_boolean())
    throw RunError(concat("must be an object of tokens and their ids (", path, ")"));
}

std::string TokenizerFile::vocabulary_place() const {
  return vocabulary_path.empty() ? path + ": /model/vocab" : vocabulary_path;
}

std::string TokenizerFile::merge_place(std::size_t i) const {
  if (merges_path.empty()) return concat(path, ": /model/merges/", i);
  return concat(merges_path, ": merge ", i + 1);
}

}  // namespace titan::text
