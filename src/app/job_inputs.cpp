#include "app/job_inputs.h"

#include <algorithm>
#include <array>
#include <string_view>

#include "app/text_builders.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/base/sha256.h"
#include "titan/config/job_config.h"
#include "titan/text/data/data_fingerprints.h"

namespace titan::app {

namespace {

using Inputs = std::map<std::string, std::string>;

void add_data(Inputs& inputs, const text::TextDataOptions& options) {
  try {
    for (auto& [path, fingerprint] : text::data_fingerprints(options, base::posix_file_system())) {
      inputs["the data at " + path] = fingerprint;
    }
  } catch (const ConfigError& error) {
    inputs["the data set " + options.dataset] = error.what();
  }
}

/// The files that a tokenizer is made of, whole.
std::string tokenizer_in(const std::string& folder) try {
  constexpr std::array<std::string_view, 6> kNames = {"merges.txt",      "tokenizer.json",
                                                      "tokenizer.model", "tokenizer_config.json",
                                                      "vocab.json",      "vocab.txt"};
  constexpr std::uint64_t kLargest = 1 << 28;
  base::FileSystem& files = base::posix_file_system();
  std::string found;
  for (const std::string_view name : kNames) {
    const std::string path = concat(folder, "/", name);
    if (!files.exists(path)) continue;
    const std::string hash = base::sha256_hex(base::read_whole_file(files, path, kLargest));
    found += concat(found.empty() ? "" : ", ", name, " ", hash.substr(0, 16));
  }
  return found;
} catch (const RunError& error) {
  return concat("not usable (", error.what(), ")");
}

}  // namespace

Inputs job_inputs(const config::JobConfig& config) {
  Inputs inputs;
  add_data(inputs, training_data(config));
  if (config.validation.enable) add_data(inputs, validation_data(config));
  const std::string& assets = config.model.hf_assets_path;
  inputs["the tokenizer in " + assets] = tokenizer_in(assets);
  return inputs;
}

}  // namespace titan::app
