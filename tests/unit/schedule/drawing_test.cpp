#include "titan/schedule/drawing.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace titan::schedule {
namespace {

TEST(Drawing, ATerminalShowsWhoWaitsWhen) {
  const Schedule schedule = make_schedule(Kind::k1F1B, 2, 1, 2);
  EXPECT_EQ(timeline_text(simulate(schedule), schedule.placement),
            "rank 0   F0 F1 .  .  B0 -  .  B1 -\n"
            "rank 1   .  F0 B0 -  F1 B1 -\n"
            "time 9.00, bubble 33.3 %; microbatches in flight, at most: 2 1\n");
}

TEST(Drawing, StagesAndOverlapsAreToldApart) {
  const Schedule schedule = make_schedule(Kind::kDualPipeV, 2, 2, 4);
  const std::string text = timeline_text(simulate(schedule), schedule.placement);
  EXPECT_THAT(text, testing::HasSubstr("F3B1'"));
  EXPECT_THAT(text, testing::HasSubstr(" F0' "));
}

std::size_t count(const std::string& text, const std::string& word) {
  std::size_t number = 0;
  for (std::size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) {
    ++number;
  }
  return number;
}

TEST(Drawing, APictureHasABoxForEveryAction) {
  const Schedule schedule = make_schedule(Kind::kZbvZeroBubble, 4, 2, 8);
  const std::string svg = timeline_svg(simulate(schedule), schedule.placement, "a < b & c");
  EXPECT_TRUE(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
  EXPECT_EQ(count(svg, "<title>"), 4 * 2 * 8 * 3u);
  EXPECT_THAT(svg, testing::HasSubstr("a &lt; b &amp; c: time 51.00, bubble 5.9 %"));
}

TEST(Drawing, ATraceHasThemTooInMicroseconds) {
  const Schedule schedule = make_schedule(Kind::kGPipe, 2, 1, 1);
  const std::string trace = timeline_trace(simulate(schedule));
  EXPECT_EQ(count(trace, "\"ph\":\"X\""), 4u);
  EXPECT_THAT(trace,
              testing::HasSubstr(
                  R"({"ph":"X","name":"1B0","pid":1,"tid":0,"ts":2000.000,"dur":2000.000})"));
}

}  // namespace
}  // namespace titan::schedule
