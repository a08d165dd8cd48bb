#include "config/path_problems.h"

#include <algorithm>
#include <filesystem>

#include "config/rules.h"
#include "config/value_text.h"

namespace titan::config {
namespace {

/// Looks at the paths of one config.
class Paths {
 public:
  Paths(const Rules& rules, base::FileSystem& files) : rules_(rules), files_(files) {}

  void must_exist(std::string_view option, const std::string& path, std::string_view what) const {
    if (!files_.exists(path)) {
      rules_.broken({option}, option, ": ", quoted(path), " does not exist: it names ", what);
    }
  }

  void data_exists() const {
    const JobConfig& config = rules_.config;
    for (const MixturePart& part : config.data.mixture) {
      must_exist("data.mixture", part.path, "a source of training data");
    }
    if (config.data.mixture.empty()) {
      data_set_exists("training", config.training.dataset, config.training.dataset_path);
    }
    if (config.validation.enable) {
      data_set_exists("validation", config.validation.dataset, config.validation.dataset_path);
    }
  }

  void checkpoints_exist() const {
    const Checkpoint& checkpoint = rules_.config.checkpoint;
    if (!checkpoint.enable) return;
    const std::string folder =
        std::filesystem::path(rules_.config.job.dump_folder) / checkpoint.folder;
    if (checkpoint.load_step >= 0) {
      const std::string step = concat(folder, "/step-", checkpoint.load_step);
      if (!is_checkpoint(step)) {
        rules_.broken({"checkpoint.load_step"}, "checkpoint.load_step: ", quoted(step),
                      " is no checkpoint: there is no .metadata in it");
      }
    } else if (!has_checkpoints(folder)) {
      start_exists(checkpoint);
    }
  }

  void output_has_a_place() const {
    std::filesystem::path folder = rules_.config.job.dump_folder;
    while (!folder.empty() && !files_.exists(folder)) {
      const std::filesystem::path parent = folder.parent_path();
      if (parent == folder) return;
      folder = parent;
    }
    if (!folder.empty() && !files_.is_directory(folder)) {
      rules_.broken({"job.dump_folder"}, "job.dump_folder: ", quoted(folder.string()),
                    " is a file, not a folder");
    }
  }

 private:
  /// A data set without a place of its own is another rule's.
  void data_set_exists(const std::string& section, const std::string& name,
                       const std::optional<std::string>& path) const {
    if (path) {
      must_exist(section + ".dataset_path", *path, "the " + section + " data");
    } else if (name == "c4_test") {
      must_exist(section + ".dataset", std::string(kShippedData),
                 "the shipped text, from the folder of a clone");
    }
  }

  bool is_checkpoint(const std::string& folder) const {
    return files_.exists(folder + "/.metadata");
  }

  /// Whether a run would go on from one of its own, so that it does not look for another to begin with.
  bool has_checkpoints(const std::string& folder) const {
    if (!files_.exists(folder) || !files_.is_directory(folder)) return false;
    return std::ranges::any_of(files_.list_directory(folder), [&](const std::string& name) {
      return name.starts_with("step-") && is_checkpoint(folder + "/" + name);
    });
  }

  /// What a new run begins with.
  void start_exists(const Checkpoint& checkpoint) const {
    if (!checkpoint.initial_load_path) {
      if (checkpoint.initial_load_in_hf) {
        holds_safetensors("model.hf_assets_path", rules_.config.model.hf_assets_path);
      }
      return;
    }
    const std::string& path = *checkpoint.initial_load_path;
    must_exist("checkpoint.initial_load_path", path, "the checkpoint to begin with");
    if (!files_.exists(path)) return;
    if (checkpoint.initial_load_in_hf) {
      holds_safetensors("checkpoint.initial_load_path", path);
    } else if (!is_checkpoint(path)) {
      rules_.broken({"checkpoint.initial_load_path"},
                    "checkpoint.initial_load_path: ", quoted(path),
                    " is no checkpoint: there is no .metadata in it",
                    "; for a folder of safetensors set checkpoint.initial_load_in_hf = true");
    }
  }

  void holds_safetensors(std::string_view option, const std::string& path) const {
    if (!files_.exists(path)) return;  // said where the path is looked at
    const bool holds = files_.is_directory(path) &&
                       std::ranges::any_of(files_.list_directory(path), [](const auto& name) {
                         return name.ends_with(".safetensors");
                       });
    if (!holds) {
      rules_.broken({option, "checkpoint.initial_load_in_hf"}, option, ": ", quoted(path),
                    " holds no .safetensors, which checkpoint.initial_load_in_hf begins with");
    }
  }

  const Rules& rules_;
  base::FileSystem& files_;
};

}  // namespace

Problems path_problems(const JobConfig& config, const Origins& origins, base::FileSystem& files) {
  Problems problems;
  const Rules rules{config, origins, 1, problems};
  const Paths paths(rules, files);
  paths.must_exist("model.hf_assets_path", config.model.hf_assets_path, "the tokenizer's folder");
  paths.data_exists();
  paths.checkpoints_exist();
  paths.output_has_a_place();
  const std::string csv = config.parallelism.pipeline_parallel_schedule_csv.value_or("");
  if (!csv.empty()) {
    paths.must_exist("parallelism.pipeline_parallel_schedule_csv", csv, "a pipeline schedule");
  }
  return problems;
}

}  // namespace titan::config
