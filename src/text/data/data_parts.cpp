#include "text/data/data_parts.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/base/mix_bits.h"
#include "titan/tools/logging.h"

namespace titan::text {
namespace {

/// A data set that is known by its name. C4 is read from its own shards in a local folder.
struct NamedDataset {
  std::string_view name;
  std::string_view usual_path;
  std::string_view file_prefix;
};

constexpr NamedDataset kNamedDatasets[] = {{"c4", "", "c4-train."},
                                           {"c4_test", config::kShippedData, ""},
                                           {"c4_validation", "", "c4-validation."}};

std::string to_lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return text;
}

const NamedDataset& find_dataset(const std::string& name) {
  const auto* found = std::ranges::find(kNamedDatasets, name, &NamedDataset::name);
  if (found == std::end(kNamedDatasets)) {
    throw ConfigError(
        concat("Dataset ", name,
               " is not supported. Supported datasets are: ['c4', 'c4_test', 'c4_validation']"));
  }
  return *found;
}

config::DataFormat format_of(const std::string& word, config::DataFormat otherwise) {
  const auto& formats = config::kWords<config::DataFormat>;
  const auto found = std::ranges::find(formats, word);
  return found == formats.end() ? otherwise
                                : static_cast<config::DataFormat>(found - formats.begin());
}

DataPart named_part(const TextDataOptions& options, base::FileSystem& files) {
  const std::string name = to_lower(options.dataset);
  const NamedDataset& dataset = find_dataset(name);
  std::string path = options.path.value_or(std::string(dataset.usual_path));
  if (path.empty()) {
    throw ConfigError(concat("the dataset ", name,
                             " is read from a local folder of its .json.gz files: name it with "
                             "dataset_path; scripts/download_c4.py fetches as many of them as you "
                             "like"));
  }
  // A clone of C4's repository has the English part in a folder of its own.
  const bool is_c4 = !dataset.file_prefix.empty();
  if (is_c4 && files.is_directory(path + "/en")) path += "/en";
  // The names of C4's shards tell them apart; a folder without any is taken as it is.
  const bool has_shards =
      is_c4 && files.is_directory(path) &&
      std::ranges::any_of(files.list_directory(path),
                          [](const std::string& file) { return file.starts_with("c4-"); });
  tools::log_info("Preparing ", name, " dataset from ", path);
  return {options.path ? path : name, path, has_shards ? std::string(dataset.file_prefix) : "",
          options.data.format, 1};
}

}  // namespace

std::vector<DataPart> find_parts(const TextDataOptions& options, base::FileSystem& files) {
  if (options.data.mixture.empty()) return {named_part(options, files)};
  std::vector<DataPart> parts;
  for (const config::MixturePart& part : options.data.mixture) {
    tools::log_info("Preparing a mixture: weight ", part.weight, ", ", part.path);
    parts.push_back(
        {part.path, part.path, "", format_of(part.format, options.data.format), part.weight});
  }
  return parts;
}

DocumentStream open_stream(const DataPart& part, std::size_t index, const TextDataOptions& options,
                           base::FileSystem& files) {
  SourceOptions source;
  source.path = part.path;
  source.name_prefix = part.file_prefix;
  source.format = part.format;
  source.text_field = options.data.text_field;
  source.prompt_field = options.data.prompt_field;
  source.response_field = options.data.response_field;
  source.tokens_per_window = options.seq_len + 1;
  source.check_first_rows = options.data.on_bad_row != config::OnBadRow::kSkip;
  source.shuffle = options.data.shuffle;
  source.ranks = options.dp_world_size;
  source.rank = options.dp_rank;

  StreamOptions stream;
  stream.name = part.name;
  stream.rank = options.dp_rank;
  stream.ranks = options.dp_world_size;
  stream.infinite = options.infinite;
  // Equal files in a mixture are read in different orders.
  if (options.data.shuffle) stream.shuffle_seed = options.shuffle_seed + base::mix_bits(index);
  if (options.data.on_bad_row == config::OnBadRow::kSkip) {
    stream.max_bad_rows = options.data.max_bad_rows;
  }
  const auto open = [&files, source](const std::optional<std::string>& units) {
    SourceOptions with_units = source;
    with_units.units = units;
    return open_source(files, with_units);
  };
  return DocumentStream(open, stream);
}

}  // namespace titan::text
