#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// What a complete checkpoint holds.
enum class CheckpointContent {
  kEverything,   // a run can go on from it
  kModel,        // a DCP folder without the state of a run
  kHuggingFace,  // safetensors
};

struct FoundCheckpoint {
  std::int64_t step = 0;
  std::string path;
  bool hugging_face = false;
};

/// The folder of a run's checkpoints, one in each `step-N`. A checkpoint is complete when it has its
/// `.metadata` (or the index of a Hugging Face folder), which is written last.
class RunCheckpoints {
 public:
  RunCheckpoints(base::FileSystem& files, std::string path);

  const std::string& path() const { return path_; }
  std::string of_step(std::int64_t step) const;
  /// The complete ones, oldest first. A folder that is not there holds none. Throws RunError.
  std::vector<FoundCheckpoint> complete() const;
  /// Reads the list of entries where that is needed to tell. Throws RunError for a damaged one.
  CheckpointContent content_of(const FoundCheckpoint& checkpoint) const;

  /// Whether Hugging Face's files are in a checkpoint's folder, alone or beside DCP's.
  bool has_hugging_face(const std::string& checkpoint) const;

  /// The complete ones beyond `step`, oldest first. Throws RunError.
  std::vector<FoundCheckpoint> beyond(std::int64_t step) const;
  /// Those of them that a run could go on from.
  std::vector<FoundCheckpoint> full_beyond(std::int64_t step) const;
  /// Gives a checkpoint a name that no run takes for one of its own, "abandoned-N", durably; returns its
  /// path. Throws RunError.
  std::string set_aside(const FoundCheckpoint& checkpoint) const;

  /// What may go once `newest` is saved: the complete checkpoints before the last `keep` of those up to
  /// it, and what is left of saves and removals that were cut off before it. Checkpoints beyond it are
  /// another branch's: they neither count nor go. Oldest first.
  std::vector<std::string> superfluous(std::int64_t keep, std::int64_t newest) const;
  /// Whether its `step-N` is a link to a folder somewhere else.
  bool is_link(const FoundCheckpoint& checkpoint) const;
  /// Removes a checkpoint so that at no moment half of one looks whole: as `rm -r` does, links in it and a
  /// `step-N` that is one, but nothing that they name. Throws RunError, when all is removed that can be.
  void remove(const std::string& checkpoint) const;

 private:
  base::FileSystem& files_;
  std::string path_;
};

}  // namespace titan::components
