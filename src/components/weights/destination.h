#pragma once

#include <cstdint>
#include <string>

#include "titan/components/weights/weights.h"

namespace titan::base {
class WritableFile;
}

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// The folder that `path` is in: "." for a plain name.
std::string folder_of(const std::string& path);

/// Throws RunError when something is at `path` - an empty folder will do where a folder comes - or
/// when the disk has less room than `bytes`.
void check_destination(base::FileSystem& files, const std::string& path, std::uint64_t bytes,
                       bool is_folder);

/// Checks that `tensor` is what `info` says, contiguous and on the CPU; appends its bytes and returns
/// their CRC-32.
std::uint32_t append_tensor(base::WritableFile& file, const WeightInfo& info,
                            const at::Tensor& tensor);

}  // namespace titan::components
