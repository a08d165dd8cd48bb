// print_documents PATH [OPTION VALUE]...: prints what a source of documents yields, for tests that
// compare with another implementation.
//
//   --format WORD           of data.format
//   --text-field NAME, --prompt-field NAME, --response-field NAME
//   --unit N, --skip N      only unit N, from document N on
//   --seed N                in the order of that seed
//   --shuffle yes, --ranks N
//   --units WORD            what a unit is, as a run that is continued asks
//   --count yes             only: units and their number
//
// Standard output gets for each document a line of JSON: {"unit", "prompt", "text"} or {"unit",
// "tokens"}, or {"unit", "bad"} for a bad row.

#include <cstdint>
#include <exception>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "titan/base/file_system.h"
#include "titan/config/choice.h"
#include "titan/text/sources/document_source.h"

namespace {

using namespace titan;
using nlohmann::json;
using Arguments = std::map<std::string, std::string>;

std::optional<std::uint64_t> number(const Arguments& arguments, const std::string& name) {
  const auto found = arguments.find(name);
  if (found == arguments.end()) return std::nullopt;
  return std::stoull(found->second);
}

text::SourceOptions read_options(const std::string& path, const Arguments& arguments) {
  text::SourceOptions options;
  options.path = path;
  for (const auto& [name, value] : arguments) {
    if (name == "--text-field") options.text_field = value;
    if (name == "--prompt-field") options.prompt_field = value;
    if (name == "--response-field") options.response_field = value;
    if (name == "--units") options.units = value;
    if (name == "--shuffle") options.shuffle = value == "yes";
    if (name != "--format") continue;
    for (std::size_t i = 0; i < words(config::DataFormat()).size(); ++i) {
      const auto format = static_cast<config::DataFormat>(i);
      if (config::to_string(format) == value) options.format = format;
    }
  }
  options.ranks = static_cast<std::int64_t>(number(arguments, "--ranks").value_or(1));
  return options;
}

void print(std::int64_t unit, const text::Document& document) {
  json line{{"unit", unit}};
  if (document.is_tokens) {
    line["tokens"] = document.tokens;
  } else {
    line["prompt"] = document.prompt;
    line["text"] = document.text;
  }
  std::cout << line.dump(-1, ' ', true, json::error_handler_t::replace) << '\n';
}

bool print_unit(text::DocumentSource& source, std::int64_t unit, const Arguments& arguments) {
  const auto skip = static_cast<std::int64_t>(number(arguments, "--skip").value_or(0));
  if (!source.open(unit, skip, number(arguments, "--seed"))) return false;
  for (text::Document document;;) {
    try {
      if (!source.next(document)) return true;
      print(unit, document);
    } catch (const text::BadRow& error) {
      std::cout << json{{"unit", unit}, {"bad", error.what()}}.dump() << '\n';
    }
  }
}

void run(const std::string& path, const Arguments& arguments) {
  const auto source = text::open_source(base::posix_file_system(), read_options(path, arguments));
  if (arguments.contains("--count")) {
    const auto count = source->unit_count();
    std::cout << (count ? std::to_string(*count) : "unknown") << ' ' << source->units() << '\n';
    return;
  }
  if (const auto unit = number(arguments, "--unit")) {
    if (!print_unit(*source, static_cast<std::int64_t>(*unit), arguments))
      throw RunError("there is no such unit");
    return;
  }
  for (std::int64_t unit = 0; print_unit(*source, unit, arguments); ++unit) {
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc % 2 != 0) {
    std::cerr << "usage: print_documents PATH [--format WORD] [OPTION VALUE]...\n";
    return 2;
  }
  Arguments arguments;
  for (int i = 2; i < argc; i += 2) arguments[argv[i]] = argv[i + 1];
  try {
    run(argv[1], arguments);
  } catch (const std::exception& error) {
    std::cout << std::flush;
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
