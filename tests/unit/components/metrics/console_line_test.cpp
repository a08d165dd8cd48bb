#include "components/metrics/console_line.h"

#include <gtest/gtest.h>

#include <limits>

namespace titan::components {
namespace {

StepReport report() {
  StepReport report;
  report.step.step = 1;
  report.step.loss = 8.132169723510742;
  report.step.grad_norm = 1.51234567;
  report.memory.max_reserved_gib = 1.18;
  report.memory.max_reserved_pct = 1.5;
  report.tps = 4566.5;
  report.tflops = 0.325;
  report.mfu = 0.1149;
  return report;
}

TEST(ConsoleLine, IsTheReferences) {
  EXPECT_EQ(console_line(report(), {}),
            "step:  1  loss:  8.13217  grad_norm:  1.5123  memory:  1.18GiB(1.50%)  tps: 4,566  "
            "tflops: 0.33  mfu: 0.11%");
}

TEST(ConsoleLine, ColorsStandBeforeTheirFields) {
  EXPECT_EQ(console_line(report(), tools::ansi_colors()),
            "\033[31mstep:  1  \033[32mloss:  8.13217  \033[38;2;180;60;0mgrad_norm:  1.5123  "
            "\033[38;2;54;234;195mmemory:  1.18GiB(1.50%)  \033[34mtps: 4,566  "
            "\033[36mtflops: 0.33  \033[35mmfu: 0.11%\033[39m");
}

TEST(ConsoleLine, LargeNumbersWidenTheirFields) {
  StepReport large = report();
  large.step.step = 123456;
  large.step.loss = 1234.5;
  large.step.grad_norm = 98765.4321;
  large.memory.max_reserved_gib = 141.2;
  large.memory.max_reserved_pct = 99.999;
  large.tps = 1234567.8;
  large.tflops = 12345.678;
  large.mfu = 51.5;
  EXPECT_EQ(console_line(large, {}),
            "step: 123456  loss: 1234.50000  grad_norm: 98765.4321  memory: 141.20GiB(100.00%)  "
            "tps: 1,234,568  tflops: 12,345.68  mfu: 51.50%");
}

TEST(ConsoleLine, WithoutAKnownPeakThereIsNoMfu) {
  StepReport unknown = report();
  unknown.mfu = std::nullopt;
  EXPECT_TRUE(console_line(unknown, {}).ends_with("tflops: 0.33  mfu: n/a"));
}

TEST(ConsoleLine, ShowsADivergedLoss) {
  StepReport diverged = report();
  diverged.step.loss = std::numeric_limits<double>::quiet_NaN();
  diverged.step.grad_norm = std::numeric_limits<double>::infinity();
  EXPECT_TRUE(console_line(diverged, {})
                  .starts_with("step:  1  loss:      nan  grad_norm:     inf  memory:"));
}

ValidationReport validation() {
  ValidationReport report;
  report.validation = {.step = 5, .loss = 4.56789};
  report.memory.max_reserved_gib = 1.18;
  report.memory.max_reserved_pct = 1.5;
  report.tps = 12345.5;
  return report;
}

TEST(ConsoleLine, AValidationIsTheReferences) {
  EXPECT_EQ(console_line(validation(), {}),
            "validate step:  5  loss:  4.5679  memory:  1.18GiB(1.50%)  tps: 12,346");
}

TEST(ConsoleLine, AValidationHasItsOwnColor) {
  EXPECT_EQ(console_line(validation(), tools::ansi_colors()),
            "\033[33mvalidate step:  5  \033[32mloss:  4.5679  "
            "\033[38;2;54;234;195mmemory:  1.18GiB(1.50%)  \033[34mtps: 12,346\033[39m");
}

}  // namespace
}  // namespace titan::components
