#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cerrno>
#include <limits>
#include <string>

#include "components/metrics/jsonl_line.h"
#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/components/metrics/metrics_sink.h"

namespace titan::components {
namespace {

using test::FaultyFileSystem;
using test::message_of;
using testing::HasSubstr;

StepReport report(std::int64_t step) {
  StepReport report;
  report.step = {.step = step,
                 .loss = 8.132169723510742,
                 .max_loss = 8.25,
                 .grad_norm = 1.5,
                 .lr = 4e-05,
                 .n_tokens_seen = 2048 * step};
  report.tps = 1600;
  report.tflops = 0.0625;
  report.mfu = 0.5;
  report.data_loading_s = 0.001;
  report.data_loading_pct = 0.1;
  report.end_to_end_s = 1.28;
  report.memory = {.max_active_gib = 1,
                   .max_active_pct = 2,
                   .max_reserved_gib = 3,
                   .max_reserved_pct = 4,
                   .num_alloc_retries = 5,
                   .num_ooms = 6};
  return report;
}

std::string lines(std::int64_t first, std::int64_t last) {
  std::string text;
  for (std::int64_t step = first; step <= last; ++step) text += jsonl_line(report(step));
  return text;
}

TEST(JsonlLine, HasEveryFigureInOrder) {
  EXPECT_EQ(jsonl_line(report(7)),
            R"({"step": 7, "loss": 8.132169723510742, "max_loss": 8.25, "grad_norm": 1.5, )"
            R"("lr": 4e-05, "n_tokens_seen": 14336, "tps": 1600.0, "tflops": 0.0625, "mfu": 0.5, )"
            R"("data_loading_s": 0.001, "data_loading_pct": 0.1, "end_to_end_s": 1.28, )"
            R"("memory_max_active_gib": 1.0, "memory_max_active_pct": 2.0, )"
            R"("memory_max_reserved_gib": 3.0, "memory_max_reserved_pct": 4.0, )"
            R"("memory_num_alloc_retries": 5, "memory_num_ooms": 6})"
            "\n");
}

TEST(JsonlLine, LoadsOfExpertsAreByLayer) {
  StepReport with_experts = report(1);
  with_experts.step.expert_loads = {{"layers.1.moe", 1.5, 0, 8, 64}, {"layers.2.moe", 4, 3, 8, 64}};
  EXPECT_THAT(jsonl_line(with_experts),
              HasSubstr(R"("memory_num_ooms": 6, )"
                        R"("expert_imbalance": {"layers.1.moe": 1.5, "layers.2.moe": 4.0}, )"
                        R"("idle_experts": {"layers.1.moe": 0, "layers.2.moe": 3}})"));
}

TEST(JsonlLine, WhatJsonCannotSayIsNull) {
  StepReport odd = report(1);
  odd.mfu = std::nullopt;
  odd.step.loss = std::numeric_limits<double>::quiet_NaN();
  odd.step.grad_norm = std::numeric_limits<double>::infinity();
  EXPECT_THAT(jsonl_line(odd), HasSubstr(R"("loss": null, )"));
  EXPECT_THAT(jsonl_line(odd), HasSubstr(R"("grad_norm": null, )"));
  EXPECT_THAT(jsonl_line(odd), HasSubstr(R"("mfu": null, )"));
}

TEST(JsonlLine, OfAValidationHasItsOwnLoss) {
  ValidationReport validation;
  validation.validation = {.step = 7, .loss = 3.5};
  validation.tps = 1600;
  validation.memory = report(7).memory;
  EXPECT_EQ(jsonl_line(validation),
            R"({"step": 7, "validation_loss": 3.5, "tps": 1600.0, )"
            R"("memory_max_active_gib": 1.0, "memory_max_active_pct": 2.0, )"
            R"("memory_max_reserved_gib": 3.0, "memory_max_reserved_pct": 4.0, )"
            R"("memory_num_alloc_retries": 5, "memory_num_ooms": 6})"
            "\n");
}

class JsonlSinkTest : public testing::Test {
 protected:
  std::string recorded() {
    return base::read_whole_file(base::posix_file_system(), dump_folder_ + "/metrics.jsonl",
                                 64 << 20);
  }
  /// Logs and tells whether it was recorded.
  static bool try_log(JsonlSink& sink, std::int64_t step) {
    try {
      sink.log(report(step));
      return true;
    } catch (const RunError&) {
      return false;
    }
  }

  test::TemporaryFolder folder_;
  std::string dump_folder_ = folder_ / "outputs/run";
  FaultyFileSystem files_;
};

TEST_F(JsonlSinkTest, WritesEveryLineAtOnce) {
  JsonlSink sink(files_, dump_folder_, false);
  EXPECT_EQ(recorded(), "");
  sink.log(report(1));
  EXPECT_EQ(recorded(), lines(1, 1));
  const int calls = files_.calls();
  sink.log(report(2));
  EXPECT_EQ(files_.calls(), calls + 1) << "one write per line";
  EXPECT_EQ(recorded(), lines(1, 2));
  sink.close();
  EXPECT_EQ(recorded(), lines(1, 2));
}

TEST_F(JsonlSinkTest, AFreshRunEmptiesTheFileAndAContinuedOneAppends) {
  JsonlSink(files_, dump_folder_, false).log(report(1));
  JsonlSink(files_, dump_folder_, true).log(report(2));
  EXPECT_EQ(recorded(), lines(1, 2));
  JsonlSink(files_, dump_folder_, false).log(report(3));
  EXPECT_EQ(recorded(), lines(3, 3));
}

TEST_F(JsonlSinkTest, AppendingAfterAHalfLineStartsANewOne) {
  files_.create_directories(dump_folder_);
  files_.open_for_writing(dump_folder_ + "/metrics.jsonl", true)->append("{\"step\": 1, \"lo");
  JsonlSink sink(files_, dump_folder_, true);
  sink.log(report(2));
  EXPECT_EQ(recorded(), "{\"step\": 1, \"lo\n" + lines(2, 2));
}

TEST_F(JsonlSinkTest, AnUnwritableFolderIsAnErrorAtTheStart) {
  files_.open_for_writing(folder_ / "file", true);
  EXPECT_EQ(message_of<RunError>([&] { JsonlSink(files_, folder_ / "file/run", false); }),
            "cannot create the folder '" + folder_.path() + "/file/run': Not a directory");
  for (int call = 1; call <= 2; ++call) {
    files_.fail_call(call, EROFS);
    EXPECT_THAT(message_of<RunError>([&] { JsonlSink(files_, dump_folder_, false); }),
                HasSubstr("Read-only file system"));
  }
}

TEST_F(JsonlSinkTest, FailedCallsLoseNothing) {
  // A failed write is followed by a look at the file's size, which may fail as well.
  for (int more = 0; more <= 2; ++more) {
    for (int call = 1; call <= 4; ++call) {
      JsonlSink sink(files_, dump_folder_, false);
      files_.fail_call(call, EIO, more);
      int failures = 0;
      for (std::int64_t step = 1; step <= 4; ++step) failures += try_log(sink, step) ? 0 : 1;
      EXPECT_EQ(failures, std::min(more + 1, 5 - call));
      files_.repair();
      sink.close();
      EXPECT_EQ(recorded(), lines(1, 4)) << "call " << call << " and " << more << " more";
    }
  }
}

TEST_F(JsonlSinkTest, ADiskThatFillsUpAtAnyByteAndIsFreedLosesNothing) {
  const std::size_t line = lines(1, 1).size();
  for (std::size_t space = 0; space <= 2 * line; ++space) {
    files_.repair();
    JsonlSink sink(files_, dump_folder_, false);
    files_.leave_space(space);
    EXPECT_EQ(try_log(sink, 1), space >= line);
    EXPECT_EQ(try_log(sink, 2), space >= 2 * line);
    EXPECT_EQ(recorded(), lines(1, 2).substr(0, space));
    files_.leave_space(space / 3);
    try_log(sink, 3);
    files_.repair();
    EXPECT_TRUE(try_log(sink, 4));
    EXPECT_EQ(recorded(), lines(1, 4)) << "space for " << space << " bytes";
  }
}

TEST_F(JsonlSinkTest, TheLastLinesAreWrittenOnClosing) {
  JsonlSink sink(files_, dump_folder_, false);
  files_.leave_space(10);
  EXPECT_FALSE(try_log(sink, 1));
  EXPECT_FALSE(try_log(sink, 2));
  files_.repair();
  sink.close();
  EXPECT_EQ(recorded(), lines(1, 2));
}

TEST_F(JsonlSinkTest, ClosingOnAFullDiskCountsTheLostLines) {
  JsonlSink sink(files_, dump_folder_, false);
  sink.log(report(1));
  files_.leave_space(10);
  EXPECT_FALSE(try_log(sink, 2));
  EXPECT_FALSE(try_log(sink, 3));
  EXPECT_EQ(
      message_of<RunError>([&] { sink.close(); }),
      "cannot write '" + dump_folder_ + "/metrics.jsonl': No space left on device. Lost lines: 2");
}

TEST_F(JsonlSinkTest, AFileThatIsRemovedWhileTheRunWritesIsBegunAnewAndSaid) {
  JsonlSink sink(files_, dump_folder_, false);
  const std::string path = dump_folder_ + "/metrics.jsonl";
  sink.log(report(1));
  files_.remove_file(path);
  sink.log(report(2));
  EXPECT_EQ(recorded(), lines(2, 2));
  files_.rename(path, path + ".old");
  files_.leave_space(10);
  EXPECT_FALSE(try_log(sink, 3));
  EXPECT_EQ(recorded(), lines(3, 3).substr(0, 10));
  files_.remove_file(path);
  files_.repair();
  sink.log(report(4));
  EXPECT_EQ(recorded(), lines(3, 4)) << "whole lines only";
  files_.open_for_writing(path + ".new", true)->append(lines(1, 4));
  files_.rename(path + ".new", path);
  sink.log(report(5));
  sink.close();
  EXPECT_EQ(recorded(), lines(1, 5));
}

TEST_F(JsonlSinkTest, ALineThatIsDividedBetweenAFileThatIsGoneAndTheNextIsCountedAsLost) {
  JsonlSink sink(files_, dump_folder_, false);
  files_.leave_space(10);
  EXPECT_FALSE(try_log(sink, 1));
  EXPECT_FALSE(try_log(sink, 2));
  files_.remove_file(dump_folder_ + "/metrics.jsonl");
  files_.repair();
  EXPECT_TRUE(try_log(sink, 3));
  EXPECT_EQ(recorded(), lines(2, 3));
  EXPECT_THAT(message_of<RunError>([&] { sink.close(); }), HasSubstr("lacks 1 lines"));
}

TEST_F(JsonlSinkTest, AFolderThatIsRemovedIsAnErrorUntilItIsBack) {
  JsonlSink sink(files_, dump_folder_, false);
  sink.log(report(1));
  files_.remove_file(dump_folder_ + "/metrics.jsonl");
  files_.remove_directory(dump_folder_);
  EXPECT_FALSE(try_log(sink, 2));
  EXPECT_FALSE(try_log(sink, 3));
  files_.create_directories(dump_folder_);
  EXPECT_TRUE(try_log(sink, 4));
  EXPECT_EQ(recorded(), lines(2, 4));
}

TEST_F(JsonlSinkTest, ALongOutageKeepsAMebibyteOfLines) {
  JsonlSink sink(files_, dump_folder_, false);
  files_.leave_space(0);
  std::int64_t logged = 0;
  for (; logged < 5000; ++logged) EXPECT_FALSE(try_log(sink, 1));
  files_.repair();
  EXPECT_THAT(message_of<RunError>([&] { sink.close(); }), HasSubstr("lacks "));
  const std::string text = recorded();
  EXPECT_GE(text.size(), 1U << 20);
  EXPECT_LT(text.size(), (1U << 20) + lines(1, 1).size());
  EXPECT_EQ(text.back(), '\n');
}

}  // namespace
}  // namespace titan::components
