#include "titan/components/checkpoint/data_state.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/base/errors.h"
#include "titan/formats/pickle/pickle.h"

namespace titan::components {
namespace {

using formats::PickleValue;
using formats::read_pickle;
using formats::write_pickle;
using protocols::DataPosition;
using protocols::StreamPosition;
using protocols::UnitRange;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::ThrowsMessage;

/// Knows where a rank of a set of 100 rows stands.
class Rows final : public protocols::DataLoader {
 public:
  bool next(protocols::Batch&) override { return false; }
  DataPosition position() const override { return {}; }
  void restart() override {}
  void restore(const std::vector<DataPosition>&) override {}
  DataPosition position_after(std::int64_t rank, std::int64_t ranks,
                              std::int64_t documents) override {
    const UnitRange share = {"rows", 0, 100 / ranks * rank, 100 / ranks * (rank + 1), 1, 0};
    StreamPosition stream{"hundred rows", 0, share, {share}, {}, 0};
    stream.left.front().begin += documents;
    return {{stream}};
  }
};

DataPosition contiguous() {
  const UnitRange share = {"rows", 0, 50, 100, 1, 0};
  UnitRange left = share;
  left.begin = 57;
  left.skip = 1;  // the row is read, but not left
  return {
      {StreamPosition{"hundred rows", 0, share, {left}, {3, 4 | protocols::kDocumentStart}, 6}}};
}

DataPosition read(const std::string& state, Rows& rows) {
  return read_data_state(state, {1, 2, rows, 4});
}

/// What Python would see: our own part taken away.
std::string without_ours(const std::string& state) {
  const PickleValue value = read_pickle(state);
  auto items = value.get_if<formats::PickleDict>()->items;
  std::erase_if(items, [](const auto& item) {
    return *item.first.template get_if<std::string>() == "titan_train";
  });
  return write_pickle(PickleValue::dict(items), 4);
}

TEST(DataState, ComesBackAsItWas) {
  Rows rows;
  const DataPosition position = contiguous();
  EXPECT_EQ(read(write_data_state(position, 2), rows), position);
}

TEST(DataState, SharedFilesAndOrdersComeBackToo) {
  Rows rows;
  DataPosition position = contiguous();
  StreamPosition& stream = position.streams.front();
  stream.share.order = protocols::PassOrder{};
  stream.left.front().order = protocols::PassOrder{std::uint64_t{1} << 63};
  stream.left.push_back({"files", 0, 3, 4, 1, 17, 4, 90, protocols::PassOrder{7}});
  stream.left.push_back({"files", 0, 5, 6, 1, 17, 4, -1});
  EXPECT_EQ(read(write_data_state(position, 2), rows), position);
}

TEST(DataState, RangesMayHaveNoOrder) {
  Rows rows;
  const PickleValue ours = PickleValue::dict(
      {{PickleValue::text("titan_train"),
        PickleValue::text(R"([{"data": "d", "pass": 0, "share": ["rows", 0, 50, 100, 1, 0],)"
                          R"("left": [["rows", 0, 57, 100, 1, 1]], "leftover_tokens": [],)"
                          R"("windows": 6}])")}});
  const DataPosition position = read(write_pickle(ours, 4), rows);
  EXPECT_EQ(position.streams.at(0).left.at(0), (UnitRange{"rows", 0, 57, 100, 1, 1}));
  EXPECT_FALSE(position.streams.at(0).left.at(0).order);
}

TEST(DataState, SaysToPythonWhichRowAndWhichTokensComeNext) {
  const PickleValue state = read_pickle(write_data_state(contiguous(), 2));
  EXPECT_EQ(*state.find("_num_yielded")->get_if<std::int64_t>(), 3) << "batches of two rows";
  const PickleValue& dataset = *state.find("dataset_state");
  EXPECT_EQ(*dataset.find("sample_idx")->get_if<std::int64_t>(), 8);
  const auto& tokens = dataset.find("token_buffer")->get_if<formats::PickleList>()->items;
  ASSERT_EQ(tokens.size(), 2u);
  EXPECT_EQ(*tokens[1].get_if<std::int64_t>(), 4) << "without our marks";
}

TEST(DataState, GoesOnWherePythonStood) {
  Rows rows;
  const DataPosition position = read(without_ours(write_data_state(contiguous(), 2)), rows);
  const StreamPosition& stream = position.streams.front();
  EXPECT_EQ(stream.left.front().begin, 58);
  EXPECT_THAT(stream.leftover_tokens, ElementsAre(3, 4 | protocols::kDocumentStart));
  EXPECT_EQ(stream.windows, 6);
}

TEST(DataState, PythonIsNotToldWhatItCannotSay) {
  DataPosition resharded = contiguous();
  resharded.streams.front().left.push_back({"rows", 0, 10, 20, 2, 0});
  DataPosition mixture = contiguous();
  mixture.streams.push_back(mixture.streams.front());
  Rows rows;
  for (const DataPosition& position : {resharded, mixture}) {
    const std::string state = write_data_state(position, 1);
    EXPECT_EQ(read(state, rows), position);
    EXPECT_THAT([&] { read(without_ours(state), rows); },
                ThrowsMessage<RunError>(HasSubstr("says nothing of the data set")));
  }
}

TEST(DataState, DamageIsRefused) {
  Rows rows;
  const auto state = [](PickleValue dataset) {
    return write_pickle(PickleValue::dict({{PickleValue::text("dataset_state"), dataset}}), 4);
  };
  const auto dataset = [](PickleValue row, PickleValue tokens) {
    return PickleValue::dict(
        {{PickleValue::text("sample_idx"), row}, {PickleValue::text("token_buffer"), tokens}});
  };
  const PickleValue none = PickleValue::list({});
  EXPECT_THROW(read("", rows), RunError);
  EXPECT_THROW(read(state(PickleValue::list({})), rows), RunError);
  EXPECT_THROW(read(state(dataset(PickleValue::text("8"), none)), rows), RunError);
  EXPECT_THROW(
      read(state(dataset(PickleValue::integer(8), PickleValue::list({PickleValue::integer(-1)}))),
           rows),
      RunError);
  const PickleValue ours =
      PickleValue::dict({{PickleValue::text("titan_train"), PickleValue::text("[{]")}});
  EXPECT_THROW(read(write_pickle(ours, 4), rows), RunError);
}

}  // namespace
}  // namespace titan::components
