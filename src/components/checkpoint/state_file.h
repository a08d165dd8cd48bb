#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "components/checkpoint/save_plan.h"
#include "titan/components/checkpoint/dcp_state.h"
#include "titan/formats/torch_archive/torch_archive_writer.h"

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// The file of one rank, `__R_0.distcp`: `torch.save` files one after the other, objects first. Where
/// everything will be is known before anything is written.
class StateFile {
 public:
  /// `state` outlives the object.
  StateFile(const FlatState& state, const Assignment& assignment);

  std::uint64_t size() const { return size_; }

  struct Part {
    std::int64_t offset;
    std::int64_t length;
  };
  /// In the order of the assignment, objects first.
  const std::vector<Part>& parts() const { return parts_; }

  /// Writes the file and makes its bytes durable. Tensors are written from where they are.
  void write(base::FileSystem& files, const std::string& path);

 private:
  struct Tensor {
    const StateTensor* entry;
    formats::TorchArchiveWriter archive;
  };

  void add_part(std::uint64_t length);

  std::vector<std::string> objects_;
  std::vector<Tensor> tensors_;
  std::vector<Part> parts_;
  std::uint64_t size_ = 0;
};

}  // namespace titan::components
