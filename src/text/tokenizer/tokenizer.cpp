#include "titan/text/tokenizer/tokenizer.h"

#include <cstdint>
#include <utility>
#include <vector>

#include "text/tokenizer/hf_tokenizer.h"
#include "text/tokenizer/load_sentencepiece.h"
#include "text/tokenizer/vocabulary_files.h"
#include "titan/base/errors.h"
#include "titan/base/file_kind.h"
#include "titan/base/file_system.h"
#include "titan/tools/logging.h"

namespace titan::text {
namespace {

constexpr std::uint64_t kMaxTokenizerBytes = 256ull << 20;
constexpr std::uint64_t kMaxConfigBytes = 16ull << 20;

/// The files of one folder.
class Folder {
 public:
  Folder(base::FileSystem& files, std::string path) : files_(files), path_(std::move(path)) {
    if (!files.exists(path_)) {
      const bool is_old_layout = path_.find("assets/tokenizer") != std::string::npos;
      throw RunError(concat("Tokenizer path '", path_, "' does not exist",
                            is_old_layout ? "; folders assets/tokenizer are an old layout: put the "
                                            "model's files into assets/hf/<name> and set "
                                            "model.hf_assets_path to that"
                                          : ""));
    }
    if (!files.is_directory(path_))
      throw RunError(concat("Tokenizer path '", path_, "' is not a folder"));
  }

  std::string path_of(const std::string& name) const { return path_ + "/" + name; }
  bool has(const std::string& name) const { return files_.exists(path_of(name)); }
  std::string read(const std::string& name) const { return read(name, kMaxTokenizerBytes); }

  TokenizerConfig read_config() const {
    const std::string name = "tokenizer_config.json";
    if (!has(name)) return {};
    return parse_tokenizer_config(read(name, kMaxConfigBytes), path_of(name));
  }

  /// `tokenizer.model`, else the only file *.model.
  std::optional<std::string> sentencepiece_model() const {
    if (has("tokenizer.model")) return "tokenizer.model";
    std::vector<std::string> models;
    for (const std::string& name : files_.list_directory(path_))
      if (name.ends_with(".model")) models.push_back(name);
    if (models.empty()) return std::nullopt;
    if (models.size() > 1) {
      throw RunError(concat("both ", path_of(models[0]), " and ", models[1],
                            " could be the tokenizer: name the right one tokenizer.model"));
    }
    return models[0];
  }

  [[noreturn]] void fail_without_tokenizer() const {
    throw RunError(concat("No supported tokenizer files found in '", path_, "'. Available files: [",
                          joined(files_.list_directory(path_)),
                          "]. Looking for: tokenizer.json, vocab.json or vocab.txt (with or "
                          "without merges.txt), tokenizer.model"));
  }

 private:
  std::string read(const std::string& name, std::uint64_t max_bytes) const {
    std::string bytes = base::read_whole_file(files_, path_of(name), max_bytes);
    base::refuse_other_kind(path_of(name), bytes);
    return bytes;
  }

  base::FileSystem& files_;
  std::string path_;
};

TokenizerFile load_vocabulary_files(const Folder& folder) {
  const std::string name = folder.has("vocab.json") ? "vocab.json" : "vocab.txt";
  const bool has_merges = folder.has("merges.txt");
  tools::log_info("Loading ", has_merges ? "BPE" : "WordLevel", " tokenizer from ", name,
                  has_merges ? " and merges.txt" : "");
  const std::string vocabulary = folder.read(name);
  const std::string merges = has_merges ? folder.read("merges.txt") : "";
  return parse_vocabulary_files(
      {folder.path_of(name), vocabulary},
      has_merges ? std::optional(NamedBytes{folder.path_of("merges.txt"), merges}) : std::nullopt);
}

}  // namespace

std::unique_ptr<protocols::Tokenizer> build_hf_tokenizer(base::FileSystem& files,
                                                         const std::string& assets_folder) {
  const Folder folder(files, assets_folder);
  if (folder.has("tokenizer.json")) {
    tools::log_info("Loading tokenizer from tokenizer.json");
    return std::make_unique<HfTokenizer>(
        parse_tokenizer_file(folder.read("tokenizer.json"), folder.path_of("tokenizer.json")),
        folder.read_config());
  }
  if (folder.has("vocab.json") || folder.has("vocab.txt"))
    return std::make_unique<HfTokenizer>(load_vocabulary_files(folder), folder.read_config());
  if (const auto name = folder.sentencepiece_model()) {
    tools::log_info("Loading SentencePiece tokenizer from ", *name);
    return load_sentencepiece(folder.read(*name), folder.path_of(*name));
  }
  folder.fail_without_tokenizer();
}

}  // namespace titan::text
