#include "watch/flight_recorder.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace titan::watch {
namespace {

comm::CollectiveCall call(std::string_view group, std::string_view operation,
                          std::uint64_t sequence) {
  return {group, operation, sequence, 64, nullptr};
}

nlohmann::json dump(const FlightRecorder& recorder) {
  return nlohmann::json::parse(recorder.json(3, 8));
}

TEST(FlightRecorder, KnowsHowFarEachGroupHasCome) {
  FlightRecorder recorder(10);
  recorder.started(call("fsdp", "all_gather", 1));
  recorder.started(call("tp", "all_reduce", 1));
  recorder.started(call("fsdp", "reduce_scatter", 2));
  const std::vector<GroupProgress> progress = recorder.progress();
  ASSERT_EQ(progress.size(), 2U);
  EXPECT_EQ(progress[0].group, "fsdp");
  EXPECT_EQ(progress[0].operation, "reduce_scatter");
  EXPECT_EQ(progress[0].sequence, 2U);
  EXPECT_EQ(progress[1].group, "tp");
}

TEST(FlightRecorder, MessagesAreKeptAndAreNoProgress) {
  FlightRecorder recorder(10);
  const std::vector<std::int64_t> peers = {1};
  comm::CollectiveCall message = call("pp", "receive", 9);
  message.peers = &peers;
  recorder.finished(recorder.started(call("pp", "barrier", 1)));
  recorder.started(message);
  ASSERT_EQ(recorder.progress().size(), 1U);
  EXPECT_EQ(recorder.progress()[0].operation, "barrier");
  EXPECT_EQ(recorder.oldest_pending()->what.operation, "receive") << "a rank may wait in one";
  const nlohmann::json entries = dump(recorder)["entries"];
  EXPECT_EQ(entries[0]["is_p2p"], false);
  EXPECT_EQ(entries[0]["collective_seq_id"], 1);
  EXPECT_EQ(entries[1]["is_p2p"], true);
  EXPECT_EQ(entries[1]["p2p_seq_id"], 9);
}

TEST(FlightRecorder, TheOldestPendingIsWhatARankWaitsIn) {
  FlightRecorder recorder(10);
  EXPECT_FALSE(recorder.oldest_pending());
  const std::uint64_t first = recorder.started(call("fsdp", "all_gather", 1));
  const std::uint64_t second = recorder.started(call("tp", "all_reduce", 1));
  EXPECT_EQ(recorder.oldest_pending()->what.group, "fsdp");
  recorder.finished(first);
  EXPECT_EQ(recorder.oldest_pending()->what.group, "tp");
  recorder.finished(second);
  EXPECT_FALSE(recorder.oldest_pending());
  recorder.started(call("fsdp", "all_gather", 2));
  EXPECT_EQ(recorder.oldest_pending()->what.sequence, 2U);
}

TEST(FlightRecorder, KeepsTheLastAndForgetsTheOldest) {
  FlightRecorder recorder(100);
  const std::uint64_t forgotten = recorder.started(call("fsdp", "all_gather", 1));
  for (std::uint64_t i = 2; i <= 250; ++i) {
    recorder.finished(recorder.started(call("fsdp", "all_gather", i)));
  }
  recorder.finished(forgotten);  // its place has another by now
  const nlohmann::json json = dump(recorder);
  EXPECT_EQ(json["collectives_started"], 250);
  ASSERT_EQ(json["entries"].size(), 100U);
  EXPECT_EQ(json["entries"].front()["collective_seq_id"], 151);
  EXPECT_EQ(json["entries"].back()["collective_seq_id"], 250);
  EXPECT_FALSE(recorder.oldest_pending()) << "what is not kept is not known to be pending";
}

TEST(FlightRecorder, TheDumpSaysWhatWhenAndWhere) {
  FlightRecorder recorder(5);
  recorder.enter_phase("forward", 12);
  recorder.finished(recorder.started(call("fsdp", "all_gather", 1)));
  recorder.enter_phase("backward", 12);
  recorder.failed(recorder.started(call("fsdp", "reduce_scatter", 2)));
  recorder.started(call("dp", "all_reduce", 1));
  const nlohmann::json json = dump(recorder);
  EXPECT_EQ(json["rank"], 3);
  EXPECT_EQ(json["phase"], "backward");
  EXPECT_EQ(json["step"], 12);
  const nlohmann::json& entries = json["entries"];
  EXPECT_EQ(entries[0]["state"], "completed");
  EXPECT_EQ(entries[0]["phase"], "forward");
  EXPECT_EQ(entries[0]["input_bytes"], 64);
  EXPECT_GE(entries[0]["time_discovered_completed_ns"], entries[0]["time_created_ns"]);
  EXPECT_EQ(entries[1]["state"], "failed");
  EXPECT_EQ(entries[2]["state"], "started");
  EXPECT_TRUE(entries[2]["time_discovered_completed_ns"].is_null());
}

TEST(FlightRecorder, WithoutATraceItStillKnowsWhereTheRankIs) {
  FlightRecorder recorder(0);
  recorder.enter_phase("data", 4);
  recorder.started(call("fsdp", "all_gather", 7));
  EXPECT_EQ(dump(recorder)["entries"].size(), 0U);
  EXPECT_EQ(recorder.oldest_pending()->what.sequence, 7U);
  EXPECT_EQ(recorder.phase().name, "data");
  EXPECT_EQ(recorder.phase().step, 4);
}

TEST(FlightRecorder, CostsLittle) {
  FlightRecorder recorder(20'000);
  constexpr int kCollectives = 200'000;
  const auto begin = std::chrono::steady_clock::now();
  for (std::uint64_t i = 1; i <= kCollectives; ++i) {
    recorder.finished(
        recorder.started(call(i % 2 == 0 ? "fsdp" : "dp_replicate", "all_gather", i)));
  }
  const std::chrono::duration<double, std::nano> time = std::chrono::steady_clock::now() - begin;
  RecordProperty("nanoseconds_per_collective", static_cast<int>(time.count() / kCollectives));
  EXPECT_LT(time.count() / kCollectives, 50'000)
      << "far above what it takes, even on a busy machine";
}

}  // namespace
}  // namespace titan::watch
