#include "text/sources/check_files.h"

#include <string>
#include <string_view>

#include "text/sources/line_reader.h"
#include "text/sources/make_byte_stream.h"
#include "text/sources/sources_of_formats.h"
#include "text/sources/text_row.h"
#include "titan/base/errors.h"
#include "titan/base/file_kind.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

using config::DataFormat;

std::string_view trimmed(std::string_view line) {
  constexpr std::string_view kSpace = " \t\r";
  const std::size_t begin = line.find_first_not_of(kSpace);
  if (begin == std::string_view::npos) return {};
  return line.substr(begin, line.find_last_not_of(kSpace) + 1 - begin);
}

/// Documents that are JSON, but not one to a line.
void refuse_other_json(const std::string& path, std::string_view line) {
  const std::string_view row = trimmed(line);
  const std::string name = file_name(path);
  if (row.starts_with('[')) {
    throw RunError(concat("'", path, "' is a JSON array; rows are objects, one on each line. This ",
                          "makes it so: jq -c '.[]' ", name, " > rows.jsonl"));
  }
  if (row == "{") {
    throw RunError(concat("'", path, "' is JSON over several lines; rows are objects, one on each ",
                          "line. This makes it so: jq -c . ", name, " > rows.jsonl"));
  }
}

void check_rows(base::FileSystem& files, const DataFile& file, const SourceOptions& options) {
  LineReader reader(make_byte_stream(open_data_file(files, file)));
  std::string_view line;
  LinePosition position;
  do {
    position = reader.position();
    if (!reader.next(line)) return;
  } while (is_blank(line));
  base::refuse_other_kind(file.path, line);
  refuse_other_json(file.path, line);
  if (!options.check_first_rows) return;
  try {
    Document document;
    parse_text_row(line, fields_of(options), file.path, position, document);
  } catch (const BadRow& error) {
    throw RunError(concat(error.what(),
                          ". It is the first row of its file: if the file is no data, ",
                          "move it away. To skip such rows: data.on_bad_row = \"skip\""));
  }
}

void check_text(base::FileSystem& files, const DataFile& file) {
  const auto stream = make_byte_stream(open_data_file(files, file));
  std::string front(base::kFileFront, '\0');
  front.resize(file.size == 0 ? 0 : stream->read(front));
  base::refuse_other_kind(file.path, front);
}

/// What the bytes of a file are by its name.
std::string_view expected_kind(const std::string& path, DataFormat format) {
  if (format == DataFormat::kParquet) return "Parquet";
  if (!is_compressed(path)) return "";
  return path.ends_with(".gz") ? "gzip" : "zstd";
}

/// What all ranks open at the start costs little where files are few; a network file system does not
/// bear thousands of files opened by thousands of ranks.
constexpr std::size_t kFewFiles = 64;

void check_file(base::FileSystem& files, const DataFile& file, DataFormat format,
                const SourceOptions& options) {
  const bool is_text = format == DataFormat::kJsonl || format == DataFormat::kText;
  const bool is_tokens = !is_text && format != DataFormat::kParquet;
  base::refuse_other_kind(*open_data_file(files, file), expected_kind(file.path, format),
                          is_tokens);
  if (format == DataFormat::kJsonl) check_rows(files, file, options);
  if (format == DataFormat::kText) check_text(files, file);
  if (format == DataFormat::kMegatron) {
    base::refuse_other_kind(*files.open_for_reading(megatron_index_path(file.path)), "", is_tokens);
  }
}

}  // namespace

void check_files(base::FileSystem& files, const FoundData& data, const SourceOptions& options) {
  const bool is_shared = data.files.size() > kFewFiles;
  const std::size_t first = is_shared ? static_cast<std::size_t>(options.rank) : 0;
  const std::size_t step = is_shared ? static_cast<std::size_t>(options.ranks) : 1;
  for (std::size_t i = first; i < data.files.size(); i += step) {
    check_file(files, data.files[i], data.format, options);
  }
}

}  // namespace titan::text
