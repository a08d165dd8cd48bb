#include "titan/components/text_dataset.h"

#include <algorithm>
#include <cctype>
#include <string_view>
#include <utility>
#include <vector>

#include "components/data/packed_text_loader.h"
#include "components/data/prefetching_loader.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

constexpr std::string_view kTestDataset = "c4_test";
constexpr std::string_view kTestDatasetPath = "tests/assets/c4_test";

std::string to_lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return std::tolower(c); });
  return text;
}

std::string place_of(const TextDataOptions& options) {
  if (options.dataset == "c4" || options.dataset == "c4_validation") {
    throw ConfigError(concat("not available in this build yet: the dataset ", options.dataset));
  }
  if (options.dataset != kTestDataset) {
    throw ConfigError(
        concat("Dataset ", options.dataset,
               " is not supported. Supported datasets are: ['c4', 'c4_test', 'c4_validation']"));
  }
  return options.path.value_or(std::string(kTestDatasetPath));
}

bool is_jsonl(std::string_view name) { return name.ends_with(".jsonl") || name.ends_with(".json"); }

std::vector<std::string> find_files(base::FileSystem& files, const std::string& place) {
  if (!files.exists(place)) throw RunError(concat("no data: '", place, "' does not exist"));
  if (!files.is_directory(place)) {
    if (!is_jsonl(place)) {
      throw RunError(concat("not available in this build yet: data that is not .jsonl or .json ('",
                            place, "')"));
    }
    return {place};
  }
  std::vector<std::string> paths;
  for (const std::string& name : files.list_directory(place)) {
    if (is_jsonl(name)) paths.push_back(concat(place, "/", name));
  }
  if (paths.empty())
    throw RunError(concat("no data: there is no .jsonl or .json file in '", place, "'"));
  return paths;
}

}  // namespace

std::unique_ptr<protocols::DataLoader> build_text_dataloader(const TextDataOptions& options,
                                                             const protocols::Tokenizer& tokenizer,
                                                             base::FileSystem& files) {
  TITAN_CHECK(options.batch_size > 0 && options.seq_len > 0, "a batch holds tokens");
  TITAN_CHECK(options.dp_rank >= 0 && options.dp_rank < options.dp_world_size,
              "a rank is one of its world");
  TextDataOptions named = options;
  named.dataset = to_lower(options.dataset);
  const std::string place = place_of(named);
  tools::log_info("Preparing ", named.dataset, " dataset from ", place);
  TextRows rows(files, find_files(files, place));
  std::string first;
  if (!rows.next(first)) throw RunError(concat("no data: every line of '", place, "' is blank"));
  auto loader = std::make_unique<PackedTextLoader>(named, tokenizer, std::move(rows));
  if (options.prefetch_batches == 0) return loader;
  return std::make_unique<PrefetchingLoader>(std::move(loader), options.prefetch_batches);
}

}  // namespace titan::components
