#include "titan/plot/svg.h"

#include <array>
#include <cmath>
#include <cstdio>

#include "titan/base/errors.h"

namespace titan::plot {
namespace {

constexpr std::string_view kReplacement = "\xef\xbf\xbd";

/// The length of the UTF-8 character that `text` begins with; 0 if it is broken.
std::size_t character_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned first = byte(0);
  const std::size_t length = first < 0x80   ? 1
                             : first < 0xc2 ? 0
                             : first < 0xe0 ? 2
                             : first < 0xf0 ? 3
                             : first < 0xf5 ? 4
                                            : 0;
  if (length > text.size()) return 0;
  unsigned code = length == 1 ? first : first & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    code = code << 6 | (byte(i) & 0x3f);
  }
  const bool too_long = (length == 3 && code < 0x800) || (length == 4 && code < 0x10000);
  const bool no_xml = (code >= 0xd800 && code < 0xe000) || code == 0xfffe || code == 0xffff ||
                      code > 0x10ffff || (code < 0x20 && code != '\t' && code != '\n');
  return too_long || no_xml ? 0 : length;
}

}  // namespace

std::string xml_escaped(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const std::size_t length = character_length(text);
    switch (length == 0 ? '\0' : text[0]) {
      case '\0':
        out += kReplacement;
        break;
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      default:
        out += text.substr(0, length);
    }
    text.remove_prefix(length == 0 ? 1 : length);
  }
  return out;
}

std::string coordinate(double value) {
  TITAN_CHECK(std::isfinite(value), "a coordinate that is no number");
  TITAN_CHECK(std::abs(value) < 1e6, "a coordinate far outside: ", value);
  std::array<char, 32> text = {};
  std::snprintf(text.data(), text.size(), "%.1f", value);
  std::string result = text.data();
  if (result.ends_with(".0")) result.resize(result.size() - 2);
  return result == "-0" ? "0" : result;
}

SvgWriter::SvgWriter(int width, int height, std::string_view css) {
  const std::string size = concat("width=\"", width, "\" height=\"", height, "\" viewBox=\"0 0 ",
                                  width, " ", height, "\"");
  out_ = concat("<svg xmlns=\"http://www.w3.org/2000/svg\" ", size, ">\n<style>", css,
                "</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#fff\"/>\n");
}

void SvgWriter::begin(std::string_view element, const Attributes& attributes) {
  out_.append("<").append(element);
  for (const auto& [name, value] : attributes) {
    out_.append(" ").append(name).append("=\"").append(xml_escaped(value)).append("\"");
  }
}

void SvgWriter::open(std::string_view element, const Attributes& attributes) {
  begin(element, attributes);
  out_ += ">\n";
  open_.emplace_back(element);
}

void SvgWriter::close() {
  TITAN_CHECK(!open_.empty(), "no open element");
  out_ += "</" + open_.back() + ">\n";
  open_.pop_back();
}

void SvgWriter::leaf(std::string_view element, const Attributes& attributes,
                     std::string_view tooltip) {
  begin(element, attributes);
  if (tooltip.empty()) {
    out_ += "/>\n";
    return;
  }
  out_.append("><title>").append(xml_escaped(tooltip)).append("</title></");
  out_.append(element).append(">\n");
}

void SvgWriter::text(const Attributes& attributes, std::string_view content) {
  begin("text", attributes);
  out_.append(">").append(xml_escaped(content)).append("</text>\n");
}

void SvgWriter::tooltip(std::string_view content) {
  out_.append("<title>").append(xml_escaped(content)).append("</title>\n");
}

std::string SvgWriter::finish() {
  TITAN_CHECK(open_.empty(), "an element is still open");
  return out_ + "</svg>\n";
}

}  // namespace titan::plot
