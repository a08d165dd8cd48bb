#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "titan/components/checkpoint/dcp_state.h"

namespace titan::base {
class FileSystem;
}
namespace titan::comm {
class ProcessGroup;
}

namespace titan::components {

/// What a save has written, all ranks together.
struct SaveFigures {
  std::uint64_t bytes = 0;  // of the files
};

/// Saves states of one structure as checkpoint folders of torch.distributed.checkpoint, step after step: what
/// the ranks agree on - who writes which of the boxes that several hold - is kept from the first
/// save, and made anew when a rank's entries change. One object per rank; all ranks call `save` together.
class DcpSaver {
 public:
  /// `ranks`: all of the job, a group on the CPU that nothing else uses; null in a job of one rank.
  DcpSaver(base::FileSystem& files, comm::ProcessGroup* ranks);
  ~DcpSaver();

  /// Writes `state`, whose tensors are on the CPU, to `folder`, and returns when the checkpoint is
  /// durable on all ranks. What the folder holds of an earlier save ceases to be a checkpoint first.
  /// The checkpoint exists from the moment `.metadata` is renamed to its name, the last thing that is
  /// written. Throws RunError, on all ranks when one of them fails: naming it, the file and the
  /// reason; nothing that was written then counts as a checkpoint.
  SaveFigures save(const std::string& folder, const FlatState& state);

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

/// A random UUID: says of two checkpoints that they are not the same save.
std::string new_save_id();

}  // namespace titan::components
