#include "components/checkpoint/run_checkpoints.h"

#include <algorithm>
#include <charconv>
#include <exception>
#include <optional>
#include <string_view>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_load.h"

namespace titan::components {
namespace {

constexpr std::string_view kPrefix = "step-";
constexpr std::string_view kMetadata = ".metadata";
constexpr std::string_view kHfIndex = "model.safetensors.index.json";

/// The N of "step-N"; nothing for other names, "step-007" among them.
std::optional<std::int64_t> step_of(std::string_view name) {
  if (!name.starts_with(kPrefix)) return std::nullopt;
  const std::string_view digits = name.substr(kPrefix.size());
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), step);
  if (error != std::errc() || end != digits.data() + digits.size() || digits.front() == '-' ||
      std::to_string(step) != digits) {
    return std::nullopt;
  }
  return step;
}

std::string file_in(const std::string& folder, std::string_view name) {
  return concat(folder, "/", name);
}

struct StepFolder {
  std::int64_t step = 0;
  std::string path;
};

/// Whole or not, oldest first.
std::vector<StepFolder> step_folders(base::FileSystem& files, const std::string& path) {
  std::vector<StepFolder> found;
  if (!files.is_directory(path)) return found;
  for (const std::string& name : files.list_directory(path)) {
    if (const auto step = step_of(name); step && files.is_directory(file_in(path, name))) {
      found.push_back({*step, file_in(path, name)});
    }
  }
  std::ranges::sort(found, {}, &StepFolder::step);
  return found;
}

/// Of an entry of a folder, not of a part of the way there.
bool is_link(base::FileSystem& files, const std::string& path) {
  const std::size_t slash = path.rfind('/');
  return files.resolve_links(path) !=
         files.resolve_links(path.substr(0, slash)) + path.substr(slash);
}

void remove_folder(base::FileSystem& files, const std::string& folder);

void remove_entry(base::FileSystem& files, const std::string& path) {
  try {
    files.remove_file(path);  // of a link, the link; refuses folders
  } catch (const RunError&) {
    if (is_link(files, path) || !files.is_directory(path)) throw;
    remove_folder(files, path);
  }
}

/// As `rm -r`: what links name stays, and what cannot be removed does not keep the rest. Throws the first
/// error in the end.
void remove_folder(base::FileSystem& files, const std::string& folder) {
  std::exception_ptr first;
  for (const std::string& name : files.list_directory(folder)) {
    try {
      remove_entry(files, file_in(folder, name));
    } catch (const RunError&) {
      if (!first) first = std::current_exception();
    }
  }
  if (first) std::rethrow_exception(first);
  files.remove_directory(folder);
}

}  // namespace

RunCheckpoints::RunCheckpoints(base::FileSystem& files, std::string path)
    : files_(files), path_(std::move(path)) {}

std::string RunCheckpoints::of_step(std::int64_t step) const {
  return concat(path_, "/", kPrefix, step);
}

std::vector<FoundCheckpoint> RunCheckpoints::complete() const {
  std::vector<FoundCheckpoint> result;
  for (const StepFolder& folder : step_folders(files_, path_)) {
    const bool dcp = files_.exists(file_in(folder.path, kMetadata));
    if (dcp || files_.exists(file_in(folder.path, kHfIndex))) {
      result.push_back({folder.step, folder.path, !dcp});
    }
  }
  return result;
}

CheckpointContent RunCheckpoints::content_of(const FoundCheckpoint& checkpoint) const {
  if (checkpoint.hugging_face) return CheckpointContent::kHuggingFace;
  try {
    const DcpCheckpoint opened(files_, checkpoint.path);
    return opened.find("train_state.step") != nullptr ? CheckpointContent::kEverything
                                                      : CheckpointContent::kModel;
  } catch (const RunError& error) {
    throw RunError(concat(error.what(), ". If '", checkpoint.path,
                          "' is damaged, move it away: the run then goes on from the checkpoint "
                          "before."));
  }
}

bool RunCheckpoints::has_hugging_face(const std::string& checkpoint) const {
  return files_.exists(file_in(checkpoint, kHfIndex));
}

std::vector<FoundCheckpoint> RunCheckpoints::beyond(std::int64_t step) const {
  std::vector<FoundCheckpoint> found = complete();
  std::erase_if(found, [&](const FoundCheckpoint& one) { return one.step <= step; });
  return found;
}

std::vector<FoundCheckpoint> RunCheckpoints::full_beyond(std::int64_t step) const {
  std::vector<FoundCheckpoint> found = beyond(step);
  std::erase_if(found, [&](const FoundCheckpoint& one) {
    return content_of(one) != CheckpointContent::kEverything;
  });
  return found;
}

std::string RunCheckpoints::set_aside(const FoundCheckpoint& checkpoint) const {
  // A sibling, so that a link to another folder stays true. Python's TorchTitan takes every name with
  // "step-N" in it for step N.
  const std::string name = concat(path_, "/abandoned-", checkpoint.step);
  std::string path = name;
  for (int n = 2; files_.exists(path); ++n) path = concat(name, ".", n);
  files_.rename(checkpoint.path, path);
  files_.sync_directory(path_);
  return path;
}

std::vector<std::string> RunCheckpoints::superfluous(std::int64_t keep, std::int64_t newest) const {
  std::vector<FoundCheckpoint> whole = complete();
  std::erase_if(whole, [&](const FoundCheckpoint& one) { return one.step > newest; });
  if (keep <= 0 || whole.empty()) return {};
  const std::size_t kept = std::min(whole.size(), static_cast<std::size_t>(keep));
  const std::int64_t oldest_kept = whole[whole.size() - kept].step;
  std::vector<std::string> result;
  for (const StepFolder& folder : step_folders(files_, path_)) {
    const bool is_whole =
        std::ranges::binary_search(whole, folder.step, {}, &FoundCheckpoint::step);
    if (folder.step < (is_whole ? oldest_kept : whole.back().step)) result.push_back(folder.path);
  }
  return result;
}

bool RunCheckpoints::is_link(const FoundCheckpoint& checkpoint) const {
  return titan::components::is_link(files_, checkpoint.path);
}

void RunCheckpoints::remove(const std::string& checkpoint) const {
  if (titan::components::is_link(files_, checkpoint)) {
    files_.remove_file(checkpoint);
    return;
  }
  for (const std::string_view mark : {kMetadata, kHfIndex}) {
    if (!files_.exists(file_in(checkpoint, mark))) continue;
    files_.remove_file(file_in(checkpoint, mark));
    files_.sync_directory(checkpoint);
  }
  remove_folder(files_, checkpoint);
}

}  // namespace titan::components
