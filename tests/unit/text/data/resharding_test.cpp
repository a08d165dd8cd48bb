// A run goes on with more or fewer ranks: no document is read twice in a pass, none is left out.

#include "text/data/resharding.h"

#include <gtest/gtest.h>

#include <algorithm>
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
  /// A step: every rank reads as many documents.
  void step(int documents, std::map<std::string, int>& seen) {
    for (std::size_t rank = 0; rank < streams_.size(); ++rank) read(rank, documents, seen);
  }
  std::size_t size() const { return streams_.size(); }

 private:
  NumberedSource::Shape shape_;
  std::vector<DocumentStream> streams_;
};

std::int64_t read_so_far(const std::map<std::string, int>& seen) {
  std::int64_t all = 0;
  for (const auto& [document, times] : seen) all += times;
  return all;
}

/// How many of the documents were not seen so often.
int missing(const NumberedSource::Shape& shape, const std::map<std::string, int>& seen, int times) {
  int count = 0;
  for (std::size_t unit = 0; unit < shape.documents.size(); ++unit) {
    for (int i = 0; i < shape.documents[unit]; ++i) {
      const auto found = seen.find(concat(unit, ".", i));
      if (found == seen.end() || found->second < times) ++count;
    }
  }
  return count;
}

NumberedSource::Shape documents(int count) {
  NumberedSource::Shape shape;
  shape.documents.assign(static_cast<std::size_t>(count), 1);
  shape.are_documents = true;
  return shape;
}

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

// Ranks that read equally fast come to the end of a pass together, whatever their number was on the
// way: when as many documents have been read as there are, each has been read.
TEST_P(Resharding, APassIsWholeAfterAnyChanges) {
  std::mt19937 random(5);
  for (int trial = 0; trial < 300; ++trial) {
    const int count = 840 * (1 + static_cast<int>(random() % 2));  // all ranks begin with as many
    NumberedSource::Shape shape = documents(count);
    shape.is_counted = GetParam().is_counted;
    shape.is_interleaved = !GetParam().is_counted;
    std::optional<std::uint64_t> seed;
    if (GetParam().is_shuffled) seed = random();

    std::map<std::string, int> seen;
    std::vector<StreamPosition> positions;
    while (read_so_far(seen) < count) {
      const std::int64_t ranks = 1 + static_cast<std::int64_t>(random() % 8);
      Ranks run(shape, ranks, seed);
      if (!positions.empty()) run.restore(positions);
      const int documents_of_a_step = 1 + static_cast<int>(random() % 3);
      const int most = random() % 4 == 0 ? count : 40;
      for (int step = 1 + static_cast<int>(random() % 40); step > 0; --step) {
        const std::int64_t rest = count - read_so_far(seen);
        if (rest <= 0 || step > most) break;
        run.step(static_cast<int>(std::clamp<std::int64_t>(rest / ranks, 1, documents_of_a_step)),
                 seen);
      }
      positions = run.positions();
    }
    const std::int64_t all = read_so_far(seen);
    ASSERT_LT(all, count + 8);
    ASSERT_EQ(missing(shape, seen, 1), 0) << "trial " << trial << ": " << all << " of " << count;
  }
}

// The original's case: one pass in 40 steps of 12 documents.
TEST_P(Resharding, ThereAndBackWithinAPass) {
  for (const auto& numbers : {std::vector<int>{4, 2, 4}, {4, 2, 3}, {1, 4, 3}, {3, 2, 6}}) {
    NumberedSource::Shape shape = documents(480);
    shape.is_counted = GetParam().is_counted;
    shape.is_interleaved = !GetParam().is_counted;
    std::optional<std::uint64_t> seed;
    if (GetParam().is_shuffled) seed = 3;
    std::map<std::string, int> seen;
    std::vector<StreamPosition> positions;
    for (const int pass : {1, 2, 3}) {
      for (std::size_t i = 0; i < numbers.size(); ++i) {
        Ranks run(shape, numbers[i], seed);
        if (!positions.empty()) run.restore(positions);
        for (int step = 0; step < (i == 0 ? 20 : 10); ++step) run.step(12 / numbers[i], seen);
        positions = run.positions();
      }
      EXPECT_EQ(missing(shape, seen, pass), 0);
      EXPECT_EQ(read_so_far(seen), 480 * pass);
    }
  }
}

// Files of equal length, of which each rank is in the middle of one: their documents are shared.
TEST_P(Resharding, UnitsOfManyDocumentsAreShared) {
  for (const auto& numbers : {std::vector<int>{4, 2, 4}, {4, 2, 3}, {4, 1, 2}, {2, 4, 3}}) {
    NumberedSource::Shape shape;
    shape.documents.assign(4, 120);
    shape.is_counted = GetParam().is_counted;
    shape.is_interleaved = !GetParam().is_counted;
    std::optional<std::uint64_t> seed;
    if (GetParam().is_shuffled) seed = 3;
    std::map<std::string, int> seen;
    std::vector<StreamPosition> positions;
    for (std::size_t i = 0; i < numbers.size(); ++i) {
      Ranks run(shape, numbers[i], seed);
      if (!positions.empty()) run.restore(positions);
      for (int step = 0; step < (i == 0 ? 20 : 10); ++step) run.step(12 / numbers[i], seen);
      positions = run.positions();
    }
    EXPECT_EQ(missing(shape, seen, 1), 0) << numbers[1] << " " << numbers[2];
    EXPECT_EQ(read_so_far(seen), 480);
  }
}

TEST_P(Resharding, FewUnitsAreSharedInEveryPass) {
  for (const auto& numbers : {std::vector<int>{4, 6, 3}, {3, 1, 4}, {6, 2, 5}}) {
    NumberedSource::Shape shape;
    shape.documents.assign(2, 120);
    std::map<std::string, int> seen;
    std::vector<StreamPosition> positions;
    for (int pass = 1; pass <= 3; ++pass) {
      for (const int ranks : numbers) {
        Ranks run(shape, ranks, GetParam().is_shuffled ? std::optional(3) : std::nullopt);
        if (!positions.empty()) run.restore(positions);
        for (int i = 0; i < 80; i += ranks) run.step(1, seen);
        positions = run.positions();
      }
    }
    // Of every unit that is dealt, a rank may read one document more than another.
    const std::int64_t all = read_so_far(seen);
    EXPECT_LE(missing(shape, seen, static_cast<int>(all / 240)), 12) << all;
    Ranks last(shape, 2, std::nullopt);
    last.restore(positions);
    std::int64_t passes = 0;
    for (const StreamPosition& position : positions) passes = std::max(passes, position.pass);
    last.finish_passes(passes, seen);
    EXPECT_EQ(missing(shape, seen, static_cast<int>(passes + 1)), 0);
    EXPECT_EQ(read_so_far(seen), 240 * (passes + 1));
  }
}

// With another seed, or without one, the pass that was begun is finished in its order.
TEST(ReshardingOrder, APassKeepsTheOrderItWasBegunIn) {
  const NumberedSource::Shape shape = documents(60);
  const std::vector<std::optional<std::uint64_t>> orders = {7, 8, std::nullopt};
  for (const auto& first : orders) {
    for (const auto& second : orders) {
      for (const int ranks : {3, 2, 5}) {
        std::map<std::string, int> seen;
        Ranks run(shape, 3, first);
        run.step(9, seen);
        run.read(1, 13, seen);  // is in the second pass
        Ranks next(shape, ranks, second);
        next.restore(run.positions());
        Ranks last(shape, 3, first);
        next.read(0, 1, seen);
        last.restore(next.positions());
        last.finish_passes(1, seen);
        EXPECT_EQ(missing(shape, seen, 2), 0) << ranks;
        EXPECT_EQ(read_so_far(seen), 120) << ranks;
      }
    }
  }
}

TEST(ReshardingOrder, TheNextPassHasTheNewOrderAndTheLogSaysSo) {
  const NumberedSource::Shape shape = documents(30);
  const auto read = [&](Ranks& ranks, int count) {
    std::vector<std::string> texts;
    for (int i = 0; i < count; ++i) {
      std::map<std::string, int> one;
      ranks.step(1, one);
      texts.push_back(one.begin()->first);
    }
    return texts;
  };
  Ranks whole(shape, 1, 7);
  Ranks other(shape, 1, 8);
  const auto in_old_order = read(whole, 30);
  const auto in_new_order = read(other, 60);

  Ranks begun(shape, 1, 7);
  read(begun, 10);
  Ranks same(shape, 1, 7);
  ::testing::internal::CaptureStdout();
  same.restore(begun.positions());
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  Ranks continued(shape, 1, 8);
  ::testing::internal::CaptureStdout();
  continued.restore(begun.positions());
  const std::string log = ::testing::internal::GetCapturedStdout();
  EXPECT_NE(log.find("Pass 1 is finished in the order that it was begun in"), std::string::npos)
      << log;
  EXPECT_EQ(read(continued, 20),
            std::vector<std::string>(in_old_order.begin() + 10, in_old_order.end()));
  EXPECT_EQ(read(continued, 30),
            std::vector<std::string>(in_new_order.begin() + 30, in_new_order.end()));
}

const UnitFacts kDocuments = {[](const std::string&, bool) { return std::optional(1'000'000); },
                              [](const std::string&) { return true; }};

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
      for (const StreamPosition& rank : reshard(old, ranks, kDocuments)) {
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
  for (const std::int64_t next : {32, 64, 16, 64}) ranks = reshard(ranks, next, kDocuments);
  for (const StreamPosition& rank : ranks) EXPECT_LE(rank.left.size(), 4u);
}

}  // namespace
}  // namespace titan::text
