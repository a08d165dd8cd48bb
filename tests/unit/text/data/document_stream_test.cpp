#include "text/data/document_stream.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "support/throws.h"
#include "unit/text/data/numbered_source.h"

namespace titan::text {
namespace {

using test::message_of;
using test::NumberedSource;
using Texts = std::vector<std::string>;

DocumentStream open(const NumberedSource::Shape& shape, StreamOptions options = {}) {
  options.name = "numbers";
  return DocumentStream(
      [shape](const std::optional<std::string>&) {
        return std::make_unique<NumberedSource>(shape);
      },
      options);
}

Texts read(DocumentStream& stream, std::size_t count) {
  Texts texts;
  Document document;
  while (texts.size() < count && stream.next(document)) {
    texts.push_back(document.text);
    stream.useful();
  }
  return texts;
}

StreamOptions finite(std::int64_t rank = 0, std::int64_t ranks = 1) {
  StreamOptions options;
  options.infinite = false;
  options.rank = rank;
  options.ranks = ranks;
  return options;
}

TEST(DocumentStream, ReadsUnitsInOrder) {
  auto stream = open({{2, 0, 1}}, finite());
  EXPECT_EQ(read(stream, 10), (Texts{"0.0", "0.1", "2.0"}));
  EXPECT_EQ(read(stream, 10), Texts{});
}

TEST(DocumentStream, CountedUnitsAreDealtContiguously) {
  std::vector<Texts> all;
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    auto stream = open({{1, 1, 1, 1, 1}}, finite(rank, 3));
    all.push_back(read(stream, 10));
  }
  EXPECT_EQ(all, (std::vector<Texts>{{"0.0", "1.0"}, {"2.0", "3.0"}, {"4.0"}}));
}

TEST(DocumentStream, UncountedUnitsAreDealtInTurn) {
  std::vector<Texts> all;
  for (std::int64_t rank = 0; rank < 2; ++rank) {
    auto stream =
        open({{1, 1, 2, 1, 1}, /*is_counted=*/false, /*is_interleaved=*/true, {}}, finite(rank, 2));
    all.push_back(read(stream, 10));
  }
  EXPECT_EQ(all, (std::vector<Texts>{{"0.0", "2.0", "2.1", "4.0"}, {"1.0", "3.0"}}));
}

TEST(DocumentStream, EveryPassIsShuffledAnew) {
  const NumberedSource::Shape shape{std::vector<int>(50, 1)};
  StreamOptions options;
  options.shuffle_seed = 7;
  auto stream = open(shape, options);
  const Texts first = read(stream, 50);
  const Texts second = read(stream, 50);
  EXPECT_NE(first, second);
  auto again = open(shape, options);
  EXPECT_EQ(read(again, 50), first);
  Texts sorted_first = first;
  Texts sorted_second = second;
  std::ranges::sort(sorted_first);
  std::ranges::sort(sorted_second);
  EXPECT_EQ(sorted_first, sorted_second);
  EXPECT_NE(sorted_first, first);
}

TEST(DocumentStream, APassWithoutTokensIsAnError) {
  auto stream = open({{1, 1}});
  Document document;
  ASSERT_TRUE(stream.next(document));
  ASSERT_TRUE(stream.next(document));
  EXPECT_NE(message_of<RunError>([&] { stream.next(document); }).find("has no tokens"),
            std::string::npos);
}

TEST(DocumentStream, ABadRowStopsOrIsSkippedUpToALimit) {
  const NumberedSource::Shape shape{{3, 3}, true, false, {{0, 1}, {1, 0}}};
  auto strict = open(shape, finite());
  EXPECT_EQ(message_of<RunError>([&] { read(strict, 10); }),
            "row 0.1 is bad. To skip such rows: data.on_bad_row = \"skip\"; up to "
            "data.max_bad_rows of them.");
  StreamOptions options = finite();
  options.max_bad_rows = 2;
  auto patient = open(shape, options);
  EXPECT_EQ(read(patient, 10), (Texts{"0.0", "0.2", "1.1", "1.2"}));
  options.max_bad_rows = 1;
  auto less_patient = open(shape, options);
  EXPECT_EQ(message_of<RunError>([&] { read(less_patient, 10); }),
            "row 1.0 is bad. That is bad row number 2 of this pass, and data.max_bad_rows is 1.");
}

TEST(DocumentStream, BadRowsCountAnewInEveryPass) {
  StreamOptions options;
  options.max_bad_rows = 1;
  auto stream = open({{3}, true, false, {{0, 1}}}, options);
  EXPECT_EQ(read(stream, 6), (Texts{"0.0", "0.2", "0.0", "0.2", "0.0", "0.2"}));
}

TEST(DocumentStream, ContinuesBehindABadRow) {
  const NumberedSource::Shape shape{{3}, true, false, {{0, 1}}};
  StreamOptions options = finite();
  options.max_bad_rows = 5;
  auto stream = open(shape, options);
  Document document;
  ASSERT_TRUE(stream.next(document));
  ASSERT_TRUE(stream.next(document));
  EXPECT_EQ(document.text, "0.2");
  auto second = open(shape, options);
  second.restore({stream.position()});
  EXPECT_EQ(read(second, 10), Texts{});
}

TEST(DocumentStream, NothingToReadForARank) {
  EXPECT_EQ(message_of<RunError>([] {
              NumberedSource::Shape shape{{1, 1}};
              shape.are_documents = true;
              open(shape, finite(2, 3));
            }),
            "no data for data-parallel rank 2 of 3: numbers has 2 things");
}

TEST(DocumentStream, UnitsThatAreFewerThanRanksAreShared) {
  std::vector<Texts> all;
  for (std::int64_t rank = 0; rank < 3; ++rank) {
    auto stream = open({{4, 2}}, finite(rank, 3));
    all.push_back(read(stream, 10));
  }
  EXPECT_EQ(all, (std::vector<Texts>{{"0.0", "0.3", "1.0"}, {"0.1", "1.1"}, {"0.2"}}));
}

TEST(DocumentStream, DataThatBecameShorter) {
  NumberedSource::Shape shape{{1, 1, 1, 1}};
  auto position = open(shape, finite(1, 2)).position();
  auto stream = open({{1, 1, 1}}, finite(0, 1));
  EXPECT_EQ(message_of<RunError>([&] { stream.restore({position}); }),
            "cannot continue in numbers: the data was 4 numbered things and is 3 numbered things "
            "now");
}

}  // namespace
}  // namespace titan::text
