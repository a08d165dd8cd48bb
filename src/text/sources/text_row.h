#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "text/sources/line_reader.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {

/// Which members of a row are read: the text, or prompt and response.
struct RowFields {
  std::string text = "text";
  std::optional<std::string> prompt;
  std::string response = "response";

  /// The one that becomes Document::text.
  const std::string& text_or_response() const { return prompt ? response : text; }
};

RowFields fields_of(const SourceOptions& options);

/// Reads one row of a JSONL file: a JSON object whose members named by `fields` are strings (the
/// last one, when it comes twice). Other members are only gone past: they may hold what Python writes
/// and JSON does not have (NaN, Infinity, lone surrogates), and bytes that are no UTF-8. Throws
/// RunError saying what is wrong, without the place.
void parse_text_row(std::string_view line, const RowFields& fields, Document& document);

/// The same; throws BadRow with the place: that of the line in the file `path`.
void parse_text_row(std::string_view line, const RowFields& fields, const std::string& path,
                    const LinePosition& position, Document& document);

}  // namespace titan::text
