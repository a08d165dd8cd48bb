#include "titan/components/text_dataset.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>
#include <vector>

#include "components/data/mixture_loader.h"
#include "components/data/prefetching_loader.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

/// A data set that is known by its name. C4 is read from its own shards in a local folder.
struct NamedDataset {
  std::string_view name;
  std::string_view usual_path;
  std::string_view file_prefix;
};

constexpr NamedDataset kNamedDatasets[] = {{"c4", "", "c4-train."},
                                           {"c4_test", "tests/assets/c4_test", ""},
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

/// The place of one source, and its weight.
struct Part {
  std::string path;
  std::string file_prefix;
  config::DataFormat format = config::DataFormat::kAuto;
  double weight = 1;
};

config::DataFormat format_of(const std::string& word, config::DataFormat otherwise) {
  const auto& formats = config::kWords<config::DataFormat>;
  const auto found = std::ranges::find(formats, word);
  return found == formats.end() ? otherwise
                                : static_cast<config::DataFormat>(found - formats.begin());
}

Part named_part(const TextDataOptions& options, base::FileSystem& files) {
  const std::string name = to_lower(options.dataset);
  const NamedDataset& dataset = find_dataset(name);
  std::string path = options.path.value_or(std::string(dataset.usual_path));
  if (path.empty()) {
    throw ConfigError(concat("the dataset ", name,
                             " is read from a local folder of its .json.gz files: name it with "
                             "dataset_path"));
  }
  // A clone of C4's repository has the English part in a folder of its own.
  const bool is_c4 = !dataset.file_prefix.empty();
  if (is_c4 && files.is_directory(path + "/en")) path += "/en";
  const bool is_folder = files.is_directory(path);
  tools::log_info("Preparing ", name, " dataset from ", path);
  return {path, is_folder ? std::string(dataset.file_prefix) : "", options.data.format, 1};
}

std::vector<Part> parts_of(const TextDataOptions& options, base::FileSystem& files) {
  if (options.data.mixture.empty()) return {named_part(options, files)};
  std::vector<Part> parts;
  for (const config::MixturePart& part : options.data.mixture) {
    tools::log_info("Preparing a mixture: weight ", part.weight, ", ", part.path);
    parts.push_back({part.path, "", format_of(part.format, options.data.format), part.weight});
  }
  return parts;
}

WindowPacker open_part(const Part& part, std::uint64_t shuffle_seed, const TextDataOptions& options,
                       const protocols::Tokenizer& tokenizer, base::FileSystem& files) {
  SourceOptions source;
  source.path = part.path;
  source.name_prefix = part.file_prefix;
  source.format = part.format;
  source.text_field = options.data.text_field;
  source.prompt_field = options.data.prompt_field;
  source.response_field = options.data.response_field;
  source.tokens_per_window = options.seq_len + 1;
  source.shuffle = options.data.shuffle;
  source.ranks = options.dp_world_size;

  StreamOptions stream;
  stream.name = part.path;
  stream.rank = options.dp_rank;
  stream.ranks = options.dp_world_size;
  stream.infinite = options.infinite;
  if (options.data.shuffle) stream.shuffle_seed = shuffle_seed;
  if (options.data.on_bad_row == config::OnBadRow::kSkip) {
    stream.max_bad_rows = options.data.max_bad_rows;
  }
  const auto open = [&files, source](const std::optional<std::string>& units) {
    SourceOptions with_units = source;
    with_units.units = units;
    return open_source(files, with_units);
  };
  return WindowPacker(DocumentStream(open, stream), tokenizer);
}

}  // namespace

std::unique_ptr<protocols::DataLoader> build_text_dataloader(const TextDataOptions& options,
                                                             const protocols::Tokenizer& tokenizer,
                                                             base::FileSystem& files) {
  TITAN_CHECK(options.batch_size > 0 && options.seq_len > 0, "a batch holds tokens");
  TITAN_CHECK(options.dp_rank >= 0 && options.dp_rank < options.dp_world_size,
              "a rank is one of its world");
  std::vector<MixedSource> sources;
  std::string name;
  for (const Part& part : parts_of(options, files)) {
    // Equal files in a mixture are read in different orders.
    const std::uint64_t seed = options.shuffle_seed + mix_bits(sources.size());
    sources.push_back({open_part(part, seed, options, tokenizer, files), part.weight});
    name += (name.empty() ? "" : ", ") + part.path;
  }
  auto loader =
      std::make_unique<MixtureLoader>(std::move(sources), options.batch_size, options.seq_len);
  if (options.prefetch_batches == 0) return loader;
  return std::make_unique<PrefetchingLoader>(std::move(loader), options.prefetch_batches,
                                             WaitReports{name, options.data.stall_warning_seconds});
}

}  // namespace titan::components
