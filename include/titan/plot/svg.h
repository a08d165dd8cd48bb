#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace titan::plot {

/// Text for XML: markup is escaped, what XML 1.0 forbids (control characters, broken UTF-8) becomes
/// U+FFFD.
std::string xml_escaped(std::string_view text);

/// A coordinate with one decimal ("12.5", "-3"). It must be finite (InternalError).
std::string coordinate(double value);

/// Writes an SVG picture element by element.
class SvgWriter {
 public:
  using Attributes = std::vector<std::pair<std::string_view, std::string>>;

  /// A white picture of that size in pixels, with `css` as its style sheet.
  SvgWriter(int width, int height, std::string_view css);

  void open(std::string_view element, const Attributes& attributes = {});
  void close();
  /// An element without content, or with a tooltip, or with text.
  void leaf(std::string_view element, const Attributes& attributes, std::string_view tooltip = {});
  void text(const Attributes& attributes, std::string_view content);
  /// The tooltip of the open element.
  void tooltip(std::string_view content);

  /// The whole picture; everything opened was closed.
  std::string finish();

 private:
  void begin(std::string_view element, const Attributes& attributes);

  std::string out_;
  std::vector<std::string> open_;
};

}  // namespace titan::plot
