#include "titan/components/tokenizer.h"

#include <cstdint>

#include "components/tokenizer/hf_tokenizer.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

constexpr std::uint64_t kMaxTokenizerBytes = 256ull << 20;
constexpr std::uint64_t kMaxConfigBytes = 16ull << 20;

std::string list_of_files(base::FileSystem& files, const std::string& folder) {
  std::string list;
  for (const std::string& name : files.list_directory(folder))
    list += (list.empty() ? "" : ", ") + name;
  return "[" + list + "]";
}

std::string find_tokenizer_file(base::FileSystem& files, const std::string& folder) {
  if (!files.exists(folder)) throw RunError(concat("Tokenizer path '", folder, "' does not exist"));
  if (!files.is_directory(folder))
    throw RunError(concat("Tokenizer path '", folder, "' is not a folder"));
  const std::string path = folder + "/tokenizer.json";
  if (files.exists(path)) return path;
  for (const char* name : {"/vocab.json", "/vocab.txt", "/tokenizer.model"}) {
    if (files.exists(folder + name)) {
      throw RunError(concat("not available in this build yet: a tokenizer from ", folder, name));
    }
  }
  throw RunError(concat("No supported tokenizer files found in '", folder, "'. Available files: ",
                        list_of_files(files, folder), ". Looking for: tokenizer.json"));
}

}  // namespace

std::unique_ptr<protocols::Tokenizer> build_hf_tokenizer(base::FileSystem& files,
                                                         const std::string& assets_folder) {
  const std::string path = find_tokenizer_file(files, assets_folder);
  tools::log_info("Loading tokenizer from tokenizer.json");
  TokenizerFile file =
      parse_tokenizer_file(base::read_whole_file(files, path, kMaxTokenizerBytes), path);
  TokenizerConfig config;
  const std::string config_path = assets_folder + "/tokenizer_config.json";
  if (files.exists(config_path)) {
    config = parse_tokenizer_config(base::read_whole_file(files, config_path, kMaxConfigBytes),
                                    config_path);
  }
  return std::make_unique<HfTokenizer>(std::move(file), config);
}

}  // namespace titan::components
