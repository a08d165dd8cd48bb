#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "titan/components/weights/weights.h"
#include "titan/formats/safetensors/safetensors.h"

namespace titan::components {

/// Files stay below this, as those that Hugging Face writes, unless a tensor alone is larger.
inline constexpr std::uint64_t kHfFileBytes = 5'000'000'000;

/// One of the files that a model's tensors are distributed over.
struct HfFile {
  std::string name;
  std::vector<formats::SafetensorsTensor> tensors;
};

/// Distributes tensors over files of at most `max_bytes` where that is possible, in order. Throws
/// RunError for types that the files cannot hold and for a name that comes twice.
std::vector<HfFile> plan_hf_files(const std::vector<WeightInfo>& tensors,
                                  std::uint64_t max_bytes = kHfFileBytes);

formats::SafetensorsIndex index_of(const std::vector<HfFile>& files);

/// Makes the folder where it is missing; removes what an earlier save of weights has left in it, whole
/// or not, and nothing else.
void clear_hf_folder(base::FileSystem& files, const std::string& folder);

/// After a save that failed: removes what it has left of weights, and the folder where that was all.
/// Throws nothing.
void discard_hf_folder(base::FileSystem& files, const std::string& folder) noexcept;

}  // namespace titan::components
