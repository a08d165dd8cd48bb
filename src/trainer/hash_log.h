#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/base/file_system.h"
#include "titan/components/metrics/side_file.h"
#include "titan/protocols/train_spec.h"

namespace titan::trainer {

/// Writes `hashes.jsonl`: one object per tensor with its step, name, shape, dtype and the SHA-256
/// of its raw bytes (row-major, little-endian). Two such files show the first tensor in which two
/// runs differ, whatever their layouts: parameters that ranks share are gathered. Rank 0 writes.
class HashLog {
 public:
  /// `context` outlives the object. Lines of steps before `first_step` stay, of a run that goes on.
  HashLog(base::FileSystem& files, const std::string& dump_folder, const comm::RankContext& context,
          std::int64_t first_step);
  /// All full parameters and buffers. All ranks call it together.
  void write_weights(std::int64_t step, const protocols::ModelParts& model_parts);
  /// `batch.<i>.input` and `batch.<i>.labels` of the step's microbatches.
  void write_batches(std::int64_t step, std::vector<protocols::Batch>& batches);

 private:
  void write(std::int64_t step, const std::string& name, const at::Tensor& tensor);

  std::unique_ptr<components::SideFile> file_;  // null on the other ranks
  const comm::RankContext& context_;
};

}  // namespace titan::trainer
