#include <algorithm>
#include <utility>

#include "text/sources/check_files.h"
#include "text/sources/find_data.h"
#include "text/sources/make_byte_stream.h"
#include "text/sources/sources_of_formats.h"
#include "titan/text/sources/document_source.h"

namespace titan::text {
namespace {

using config::DataFormat;

/// As the original deals streamed data sets.
std::string units_of_compressed(const std::vector<DataFile>& data, const SourceOptions& options) {
  const bool divides = std::ssize(data) % options.ranks == 0;
  return options.shuffle || divides ? "files" : "rows";
}

/// Blocks are quick to find in any order, but a rank needs a good many of them for a good mix.
std::string units_of_plain(const std::vector<DataFile>& data, const SourceOptions& options) {
  constexpr std::uint64_t kEnoughForARank = 8 << 20;
  std::uint64_t bytes = 0;
  for (const DataFile& file : data) bytes += file.size;
  const bool has_enough = bytes / static_cast<std::uint64_t>(options.ranks) > kEnoughForARank;
  return options.shuffle && has_enough ? "blocks" : "rows";
}

std::unique_ptr<DocumentSource> open_jsonl(base::FileSystem& files, std::vector<DataFile> data,
                                           const SourceOptions& options) {
  const bool has_compressed = std::any_of(
      data.begin(), data.end(), [](const DataFile& file) { return is_compressed(file.path); });
  const std::string chosen =
      has_compressed ? units_of_compressed(data, options) : units_of_plain(data, options);
  const std::string units = options.units.value_or(chosen);
  RowFields fields = fields_of(options);
  if (units == "rows") {
    // Rows that come in random order are counted, whatever it takes.
    return open_jsonl_rows(
        files, std::move(data),
        JsonlRowsOptions{std::move(fields), has_compressed, !has_compressed || options.shuffle});
  }
  if (units == "files" || (units == "blocks" && !has_compressed)) {
    return open_jsonl_parts(files, std::move(data), std::move(fields),
                            units == "files" ? JsonlPart::kFile : JsonlPart::kBlock);
  }
  throw RunError(concat("cannot continue in '", options.path, "' by ", units, ": it is ",
                        has_compressed ? "compressed " : "", "JSONL now"));
}

std::unique_ptr<DocumentSource> open_parquet(base::FileSystem& files, std::vector<DataFile> data,
                                             const SourceOptions& options) {
  auto source = open_parquet_rows(files, std::move(data), fields_of(options),
                                  {options.shuffle, options.ranks, options.units});
  if (source) return source;
  throw RunError(
      concat("cannot continue in '", options.path, "' by ", *options.units, ": it is Parquet now"));
}

std::unique_ptr<DocumentSource> open_found(base::FileSystem& files, FoundData found,
                                           const SourceOptions& options) {
  switch (found.format) {
    case DataFormat::kJsonl:
      return open_jsonl(files, std::move(found.files), options);
    case DataFormat::kText:
      return open_text_files(files, std::move(found.files));
    case DataFormat::kParquet:
      return open_parquet(files, std::move(found.files), options);
    case DataFormat::kMegatron:
      return open_megatron_documents(files, std::move(found.files));
    case DataFormat::kLlmC:
    case DataFormat::kU16:
    case DataFormat::kU32:
      return open_token_windows(files, std::move(found.files), found.format,
                                options.tokens_per_window);
    case DataFormat::kAuto:
      break;
  }
  throw InternalError("a format was to be found");
}

}  // namespace

std::unique_ptr<DocumentSource> open_source(base::FileSystem& files, const SourceOptions& options) {
  TITAN_CHECK(options.ranks > 0, "units are dealt to ranks");
  FoundData found = find_data(files, options);
  const DataFormat format = found.format;
  if (options.prompt_field && format != DataFormat::kJsonl && format != DataFormat::kParquet) {
    throw ConfigError(concat("data.prompt_field is for JSONL and Parquet, but '", options.path,
                             "' is ", config::to_string(format)));
  }
  // What is opened again for a run that is continued has been looked at.
  if (!options.units) check_files(files, found, options);
  auto source = open_found(files, std::move(found), options);
  if (format == DataFormat::kParquet && !options.units) source->unit_count();  // opens every file
  if (options.units && *options.units != source->units()) {
    throw RunError(concat("cannot continue in '", options.path, "' by ", *options.units, ": it is ",
                          config::to_string(format), " now, which is read by ", source->units()));
  }
  if (!source->open(0, 0, std::nullopt)) {
    throw RunError(concat("no data: there are no ", source->units(), " in '", options.path, "'"));
  }
  return source;
}

}  // namespace titan::text
