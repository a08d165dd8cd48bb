// A run goes on with more or fewer ranks: no document is read twice in a pass, none is left out.

#include "text/data/resharding.h"

#include <gtest/gtest.h>

#include <map>
#include <random>

#include "text/data/document_stream.h"
#include "unit/text/data/numbered_source.h"

namespace titan::text {
namespace {

using protocols::StreamPosition;
using test::NumberedSource;

// Ranks of a run that read whatever they like, each counting how often it saw every document.
class Ranks {
 public:
  Ranks(const NumberedSource::Shape& shape, std::int64_t ranks,
        std::optional<std::uint64_t> shuffle_seed)
      : shape_(shape) {
    for (std::int64_t rank = 0; rank < ranks; ++rank) {
      StreamOptions options;
      options.name = "numbers";
      options.rank = rank;
      options.ranks = ranks;
      options.shuffle_seed = shuffle_seed;
      streams_.emplace_back(
          [shape](const std::optional<std::string>&) {
            return std::make_unique<NumberedSource>(shape);
          },
          options);
    }
  }

  void restore(const std::vector<StreamPosition>& positions) {
    for (DocumentStream& stream : streams_) stream.restore(positions);
  }
  std::vector<StreamPosition> positions() const {
    std::vector<StreamPosition> all;
    for (const DocumentStream& stream : streams_) all.push_back(stream.position());
    return all;
  }
  void read(std::size_t rank, int documents, std::map<std::string, int>& seen) {
    Document document;
    for (int i = 0; i < documents; ++i) {
      ASSERT_TRUE(streams_[rank].next(document));
      streams_[rank].useful();
      ++seen[document.text];
    }
  }
  /// Brings every rank to the end of pass `last`.
  void finish_passes(std::int64_t last, std::map<std::string, int>& seen) {
    for (std::size_t rank = 0; rank < streams_.size(); ++rank) {
      for (;;) {
        // One document ahead of the position tells whether the pass is over.
        const StreamPosition before = streams_[rank].position();
        Document document;
        ASSERT_TRUE(streams_[rank].next(document));
        streams_[rank].useful();
        const StreamPosition after = streams_[rank].position();
        if (after.pass > last) break;
        ++seen[document.text];
      }
    }
  }
  std::size_t size() const { return streams_.size(); }

 private:
  NumberedSource::Shape shape_;
  std::vector<DocumentStream> streams_;
};

struct Case {
  bool is_counted;
  bool is_shuffled;
};

class Resharding : public ::testing::TestWithParam<Case> {};

INSTANTIATE_TEST_SUITE_P(Sources, Resharding,
                         ::testing::Values(Case{true, false}, Case{true, true},
                                           Case{false, false}));

TEST_P(Resharding, EveryDocumentIsReadOncePerPass) {
  std::mt19937 random(3);
  for (int trial = 0; trial < 200; ++trial) {
    NumberedSource::Shape shape;
    shape.is_counted = GetParam().is_counted;
    shape.is_interleaved = !GetParam().is_counted;
    const int units = 12 + static_cast<int>(random() % 60);
    for (int i = 0; i < units; ++i) {
      shape.documents.push_back(1 + static_cast<int>(random() % 3));
    }
    std::optional<std::uint64_t> seed;
    if (GetParam().is_shuffled) seed = random();

    std::map<std::string, int> seen;
    std::vector<StreamPosition> positions;
    std::int64_t last_pass = 0;
    for (int generation = 0; generation < 4; ++generation) {
      const std::int64_t ranks = 1 + static_cast<std::int64_t>(random() % 8);
      Ranks run(shape, ranks, seed);
      if (generation > 0) run.restore(positions);
      for (std::size_t rank = 0; rank < run.size(); ++rank) {
        run.read(rank, static_cast<int>(random() % 40), seen);
      }
      positions = run.positions();
      for (const StreamPosition& position : positions) {
        last_pass = std::max(last_pass, position.pass);
      }
      if (generation == 3) run.finish_passes(last_pass, seen);
    }
    for (int unit = 0; unit < units; ++unit) {
      for (int i = 0; i < shape.documents[static_cast<std::size_t>(unit)]; ++i) {
        ASSERT_EQ(seen[concat(unit, ".", i)], last_pass + 1)
            << "document " << unit << "." << i << " of trial " << trial;
      }
    }
  }
}

TEST(ReshardingTokens, LeftoverTokensAreAllCarriedOn) {
  for (std::int64_t old_ranks = 1; old_ranks <= 8; ++old_ranks) {
    for (std::int64_t ranks = 1; ranks <= 8; ++ranks) {
      std::vector<StreamPosition> old(static_cast<std::size_t>(old_ranks));
      std::vector<std::int64_t> all;
      for (std::int64_t i = 0; i < old_ranks; ++i) {
        old[static_cast<std::size_t>(i)].leftover_tokens = {10 * i, 10 * i + 1};
        old[static_cast<std::size_t>(i)].windows = 8;
        all.insert(all.end(), {10 * i, 10 * i + 1});
      }
      std::vector<std::int64_t> carried;
      for (const StreamPosition& rank : reshard(old, ranks)) {
        carried.insert(carried.end(), rank.leftover_tokens.begin(), rank.leftover_tokens.end());
        EXPECT_EQ(rank.windows, 8 * old_ranks / ranks);
      }
      EXPECT_EQ(carried, all);
    }
  }
}

TEST(ReshardingTokens, ThereAndBackTakesFewIntegers) {
  std::vector<StreamPosition> ranks(64);
  for (std::int64_t i = 0; i < 64; ++i) {
    ranks[static_cast<std::size_t>(i)].left = {{"things", 0, 100 * i + 7, 100 * i + 100, 1, 0}};
  }
  for (const std::int64_t next : {32, 64, 16, 64}) ranks = reshard(ranks, next);
  for (const StreamPosition& rank : ranks) EXPECT_LE(rank.left.size(), 4u);
}

}  // namespace
}  // namespace titan::text
