#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::cuda {

/// Names with versions, in the order of `--version`.
using Versions = std::vector<std::pair<std::string, std::string>>;

/// CUDA, cuDNN and NCCL as this program was compiled with them; "not built in" where it was compiled
/// without. Loads nothing.
Versions compiled_versions();

/// The version of the NVIDIA driver in the kernel, none where no such driver is loaded or none of its
/// files are visible.
std::optional<std::string> driver_version(base::FileSystem& files);

/// `compiled`, and behind each version the one that is loaded where that is another.
Versions with_loaded(Versions compiled, const Versions& loaded);

/// 13000 as "13.0".
inline std::string cuda_version_text(long version) {
  return concat(version / 1000, ".", version % 1000 / 10);
}
/// 91900 as "9.19.0".
inline std::string cudnn_version_text(long version) {
  return concat(version / 10000, ".", version % 10000 / 100, ".", version % 100);
}
/// 22809 as "2.28.9".
inline std::string nccl_version_text(long version) { return cudnn_version_text(version); }

}  // namespace titan::cuda
