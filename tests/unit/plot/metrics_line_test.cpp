#include "plot/metrics_line.h"

#include <gtest/gtest.h>

#include <string>

namespace titan::plot {
namespace {

TEST(MetricsLine, HasTheFiguresThatAreDrawn) {
  const auto line = parse_metrics_line(
      R"({"step": 7, "loss": 8.5, "max_loss": 9, "grad_norm": 1, "lr": 4e-05, "tps": 1600.0, "mfu": null})");
  ASSERT_TRUE(line);
  EXPECT_EQ(line->step, 7);
  EXPECT_EQ(line->loss, 8.5);
  EXPECT_EQ(line->grad_norm, 1);
  EXPECT_EQ(line->lr, 4e-05);
  EXPECT_EQ(line->tps, 1600);
  EXPECT_EQ(line->validation_loss, std::nullopt);
}

TEST(MetricsLine, WhatIsNoDrawableNumberIsMissing) {
  for (const char* value : {"null", "\"2.5\"", "true", "[1]", "{\"loss\": 1}", "1e31", "-1e300"}) {
    const auto line =
        parse_metrics_line(std::string(R"({"step": 1, "lr": 0.5, "loss": )") + value + "}");
    ASSERT_TRUE(line) << value;
    EXPECT_EQ(line->loss, std::nullopt) << value;
    EXPECT_EQ(line->lr, 0.5) << value;
  }
}

TEST(MetricsLine, WithoutAStepItIsNone) {
  for (const char* text :
       {"", "{}", "null", "7", "[]", "[{\"step\": 1}]", "{\"step\": null}", "{\"step\": \"1\"}",
        "{\"step\": -1}", "{\"step\": 1.5}", "{\"step\": 1e300}", "{\"step\": 1e999}",
        "{\"step\": NaN}", "{\"a\": {\"step\": 1}}", "{\"step\": 1", "{\"step\": 1} x",
        "{\"step\": 1}{\"step\": 2}", "{\"step\": 1, \"lo", "{\"step\": 1, \"x\": \"\xff\"}"}) {
    EXPECT_FALSE(parse_metrics_line(text)) << text;
  }
}

TEST(MetricsLine, DeepNestingIsJustAnotherLine) {
  const std::string deep =
      R"({"step": 3, "x": )" + std::string(30000, '[') + std::string(30000, ']') + "}";
  EXPECT_EQ(parse_metrics_line(deep).value().step, 3);
  EXPECT_FALSE(parse_metrics_line(std::string(60000, '{')));
}

}  // namespace
}  // namespace titan::plot
