#include "text/data/window_packer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <new>

#include "support/throws.h"
#include "unit/text/data/data_test_support.h"

namespace titan::text {
namespace {

using test::ByteTokenizer;
using Ids = std::vector<std::int64_t>;
using Starts = std::vector<std::uint8_t>;

// One unit of given documents.
class ListSource final : public DocumentSource {
 public:
  explicit ListSource(std::vector<Document> documents) : documents_(std::move(documents)) {}
  std::optional<std::int64_t> unit_count() override { return 1; }
  bool open(std::int64_t unit, std::int64_t skip, std::optional<std::uint64_t>) override {
    next_ = static_cast<std::size_t>(skip);
    return unit == 0;
  }
  bool next(Document& document) override {
    if (next_ == documents_.size()) return false;
    document = documents_[next_++];
    return true;
  }
  bool unit_is_document() const override { return false; }
  const char* units() const override { return "lists"; }
  std::string description() const override { return "a list"; }

 private:
  std::vector<Document> documents_;
  std::size_t next_ = 0;
};

struct Window {
  Ids input, labels;
  Starts starts;
};

WindowPacker packer_of(const std::vector<Document>& documents,
                       const protocols::Tokenizer& tokenizer) {
  StreamOptions options;
  options.name = "a list";
  options.infinite = false;
  const auto open = [&](const std::optional<std::string>&) {
    return std::make_unique<ListSource>(documents);
  };
  return WindowPacker(DocumentStream(open, options), tokenizer);
}

Window first_window(const std::vector<Document>& documents, std::size_t seq_len,
                    const protocols::Tokenizer& tokenizer) {
  WindowPacker packer = packer_of(documents, tokenizer);
  Window window{Ids(seq_len), Ids(seq_len), Starts(seq_len)};
  EXPECT_TRUE(packer.next({window.input, window.labels, window.starts}));
  return window;
}

Document text(const std::string& text, const std::string& prompt = "") {
  Document document;
  document.text = text;
  document.prompt = prompt;
  return document;
}

Document tokens(Ids ids) {
  Document document;
  document.tokens = std::move(ids);
  document.is_tokens = true;
  return document;
}

TEST(WindowPacker, SaysWhereDocumentsBegin) {
  const Window window = first_window({text("ab"), text("c"), text("")}, 8, ByteTokenizer());
  EXPECT_EQ(window.input, (Ids{256, 'a', 'b', 257, 256, 'c', 257, 256}));
  EXPECT_EQ(window.labels, (Ids{'a', 'b', 257, 256, 'c', 257, 256, 257}));
  EXPECT_EQ(window.starts, (Starts{1, 0, 0, 0, 1, 0, 0, 1}));
}

TEST(WindowPacker, PromptsAreReadButNotTrainedOn) {
  const Window window = first_window({text("xy", "ab"), text("z", "c")}, 8, ByteTokenizer());
  EXPECT_EQ(window.input, (Ids{256, 'a', 'b', 'x', 'y', 257, 256, 'c'}));
  EXPECT_EQ(window.labels, (Ids{-100, -100, 'x', 'y', 257, -100, -100, 'z'}));
  EXPECT_EQ(window.starts, (Starts{1, 0, 0, 0, 0, 0, 1, 0}));
}

// As Llama 3's: BOS and EOS come with every text, asked for or not.
class AlwaysFraming : public protocols::Tokenizer {
 public:
  Ids encode(std::string_view text, bool, bool) const override {
    return bytes_.encode(text, true, true);
  }
  std::string decode(const Ids&, bool) const override { return {}; }
  std::int64_t vocab_size() const override { return 258; }
  std::optional<std::int64_t> bos_id() const override { return 256; }
  std::optional<std::int64_t> eos_id() const override { return 257; }
  std::optional<std::int64_t> token_to_id(std::string_view) const override { return {}; }
  std::optional<std::string> id_to_token(std::int64_t) const override { return {}; }

 private:
  ByteTokenizer bytes_;
};

TEST(WindowPacker, ADocumentThatDoesNotFitIntoMemoryIsNamed) {
  class Exhausted final : public AlwaysFraming {
    Ids encode(std::string_view text, bool, bool) const override {
      if (text.size() > 3) throw std::bad_alloc();
      return {1, 2, 3};
    }
  };
  EXPECT_THAT(test::message_of<RunError>([] {
                first_window({text("ab"), text("abcd")}, 5, Exhausted());
              }),
              testing::StartsWith(
                  "out of memory at a document of a list (the last that was read has 4 bytes)"));
}

TEST(WindowPacker, APromptAndItsResponseAreOneDocument) {
  const Window window = first_window({text("xy", "ab")}, 5, AlwaysFraming());
  EXPECT_EQ(window.input, (Ids{256, 'a', 'b', 'x', 'y'}));
  EXPECT_EQ(window.labels, (Ids{-100, -100, 'x', 'y', 257}));
}

TEST(WindowPacker, PiecesOfALongTextAreOneDocument) {
  Document head = text("ab");
  head.ends = false;
  Document middle = text("cd");
  middle.begins = middle.ends = false;
  Document tail = text("ef");
  tail.begins = false;
  const Window window = first_window({head, middle, tail}, 7, ByteTokenizer());
  EXPECT_EQ(window.input, (Ids{256, 'a', 'b', 'c', 'd', 'e', 'f'}));
  EXPECT_EQ(window.labels.back(), 257);
  EXPECT_EQ(window.starts, (Starts{1, 0, 0, 0, 0, 0, 0}));
}

TEST(WindowPacker, StoredTokensAreTakenAsTheyAre) {
  const Window window =
      first_window({tokens({256, 5, 257, 256, 6}), tokens({7, 8})}, 6, ByteTokenizer());
  EXPECT_EQ(window.input, (Ids{256, 5, 257, 256, 6, 7}));
  EXPECT_EQ(window.starts, (Starts{1, 0, 0, 1, 0, 1}));
}

// As GPT-2's: one token is BOS and EOS.
class OneForBoth final : public protocols::Tokenizer {
 public:
  Ids encode(std::string_view text, bool add_bos, bool add_eos) const override {
    Ids ids = bytes_.encode(text, add_bos, false);
    if (add_eos) ids.push_back(256);
    return ids;
  }
  std::string decode(const Ids&, bool) const override { return {}; }
  std::int64_t vocab_size() const override { return 258; }
  std::optional<std::int64_t> bos_id() const override { return 256; }
  std::optional<std::int64_t> eos_id() const override { return 256; }
  std::optional<std::int64_t> token_to_id(std::string_view) const override { return {}; }
  std::optional<std::string> id_to_token(std::int64_t) const override { return {}; }

 private:
  ByteTokenizer bytes_;
};

TEST(WindowPacker, OneTokenForBothBelongsToTheDocumentThatItEnds) {
  const Window texts = first_window({text("a"), text("b"), text("")}, 7, OneForBoth());
  EXPECT_EQ(texts.input, (Ids{256, 'a', 256, 256, 'b', 256, 256}));
  EXPECT_EQ(texts.starts, (Starts{1, 0, 0, 1, 0, 0, 1}));
  const Window stored = first_window(
      {tokens({256, 'a', 256}), tokens({256, 'b', 256, 256}), tokens({256})}, 7, OneForBoth());
  EXPECT_EQ(stored.starts, (Starts{1, 0, 0, 1, 0, 0, 0})) << "the last two end the document";
  const Window loose = first_window({tokens({256, 5, 256, 256, 6, 256, 7, 8})}, 7, OneForBoth());
  EXPECT_EQ(loose.starts, (Starts{1, 0, 0, 1, 0, 1, 0}))
      << "one between two documents begins the next";
}

TEST(WindowPacker, ATokenThatTheTokenizerDoesNotHaveIsRefused) {
  EXPECT_EQ(test::message_of<RunError>([] {
              first_window({tokens({1, 2, 258})}, 1, ByteTokenizer());
            }),
            "a list holds the token id 258, but the tokenizer has only 258: it was made with "
            "another one, or data.format is wrong");
}

TEST(WindowPacker, PositionsShareTheTokensThatAreLeft) {
  const ByteTokenizer tokenizer;
  WindowPacker packer = packer_of({text(std::string(1000, 'x')), text("end")}, tokenizer);
  Window window{Ids(9), Ids(9), Starts(9)};
  const auto next = [&] { return packer.next({window.input, window.labels, window.starts}); };
  std::vector<protocols::StreamPosition> positions;
  for (int i = 0; i < 100; ++i) {
    ASSERT_TRUE(next());
    positions.push_back(packer.position());
    EXPECT_EQ(positions.back().leftover_tokens.size(), 1002u - 10 * (i + 1));
    EXPECT_EQ(positions.back().leftover_tokens.end(), positions.front().leftover_tokens.end())
        << "a copy for every batch that is made ahead";
  }
  // What comes next is not written to them.
  ASSERT_EQ(positions.back().leftover_tokens, (Ids{'x', 257}));
  EXPECT_FALSE(next());
  EXPECT_EQ(positions.back().leftover_tokens, (Ids{'x', 257}));
  EXPECT_EQ(packer.position().leftover_tokens,
            (Ids{'x', 257, 256 | protocols::kDocumentStart, 'e', 'n', 'd', 257}));
  packer.restore({positions[98]});
  EXPECT_EQ(packer.position(), positions[98]);
  ASSERT_TRUE(next());
  EXPECT_EQ(packer.position(), positions[99]);
}

}  // namespace
}  // namespace titan::text
