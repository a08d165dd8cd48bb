#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "titan/components/checkpoint/dcp_state.h"

namespace titan::base {
class FileSystem;
}
namespace titan::comm {
class ProcessGroup;
}

namespace titan::components {

/// A checkpoint folder of torch.distributed.checkpoint, of any number of ranks and any layout, open
/// for reading. Safe to read from several threads.
class DcpCheckpoint {
 public:
  /// Reads and checks `.metadata`, and that all files are there and long enough. Throws RunError.
  DcpCheckpoint(base::FileSystem& files, std::string folder);
  ~DcpCheckpoint();

  const std::string& folder() const;
  const formats::DcpMetadata& metadata() const;
  /// Null when there is none; looked up in a map.
  const formats::DcpEntry* find(const std::string& key) const;

  /// The value of an entry that is no tensor. Throws RunError when it is missing or a tensor.
  formats::PickleValue object(const std::string& key) const;

  /// Fills `tensors`, each with its box of the entry of its key, converting to its type: only what the
  /// boxes need is read, by several threads. Tensors on a device are filled through a buffer. Before
  /// anything is read, all keys that are missing and all whose full sizes differ are named in one
  /// RunError.
  ///
  /// Checksums are compared, of a part that several ranks have read between them too: `ranks` (null: this
  /// rank alone reads) then exchange what they have seen. Nothing is compared of a saved part that was
  /// not read whole by all ranks together, nor of columns cut out of rows longer than 64 KiB. Throws RunError naming file, key and byte,
  /// on all ranks.
  void read(std::span<const StateTensor> tensors, comm::ProcessGroup* ranks) const;

 private:
  struct Inside;
  std::unique_ptr<Inside> inside_;
};

}  // namespace titan::components
