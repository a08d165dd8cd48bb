#include "titan/plot/svg.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "titan/base/errors.h"

namespace titan::plot {
namespace {

TEST(XmlEscaped, MarkupIsText) {
  EXPECT_EQ(xml_escaped("a<b> & \"c\" 'd'"), "a&lt;b&gt; &amp; &quot;c&quot; 'd'");
  EXPECT_EQ(xml_escaped("näh \u2026 \U0001F600"), "näh \u2026 \U0001F600");
}

TEST(XmlEscaped, WhatXmlForbidsIsReplaced) {
  const std::string replaced = "\xef\xbf\xbd";
  EXPECT_EQ(xml_escaped(std::string("a\0b\x1b", 4)), "a" + replaced + "b" + replaced);
  EXPECT_EQ(xml_escaped("\xff"), replaced);
  EXPECT_EQ(xml_escaped("\xc3"), replaced) << "cut off";
  EXPECT_EQ(xml_escaped("\xed\xa0\x80"), replaced + replaced + replaced) << "half a surrogate pair";
  EXPECT_EQ(xml_escaped("\xc0\xaf"), replaced + replaced) << "too long a form";
  EXPECT_EQ(xml_escaped("\xef\xbf\xbf"), replaced + replaced + replaced) << "no character";
}

TEST(Coordinate, HasOneDecimal) {
  EXPECT_EQ(coordinate(12.345), "12.3");
  EXPECT_EQ(coordinate(-3), "-3");
  EXPECT_EQ(coordinate(-0.01), "0");
  EXPECT_THROW(coordinate(std::nan("")), InternalError);
  EXPECT_THROW(coordinate(std::numeric_limits<double>::infinity()), InternalError);
}

TEST(SvgWriter, NestsElements) {
  SvgWriter svg(20, 10, ".a{fill:red}");
  svg.open("g", {{"class", "a\"b"}});
  svg.tooltip("x < y");
  svg.leaf("circle", {{"r", "1"}}, "tip");
  svg.text({{"x", "1"}}, "a & b");
  EXPECT_THROW(svg.finish(), InternalError);
  svg.close();
  EXPECT_EQ(svg.finish(),
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"20\" height=\"10\" viewBox=\"0 0 20 "
            "10\">\n"
            "<style>.a{fill:red}</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n"
            "<g class=\"a&quot;b\">\n<title>x &lt; y</title>\n<circle "
            "r=\"1\"><title>tip</title></circle>\n"
            "<text x=\"1\">a &amp; b</text>\n</g>\n</svg>\n");
}

}  // namespace
}  // namespace titan::plot
