#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/components/weights/weights.h"

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// How a model's weights lie on disk.
enum class WeightsFormat {
  kDcp,  // a folder of torch.distributed.checkpoint: .metadata and __R_N.distcp
  kHf,   // a folder of safetensors files, with an index where there are several
  kPt,   // one file that torch.save wrote: a dict of tensors
};

/// What lies at `path`, by what is there: a folder with `.metadata`, one with safetensors, or a file
/// (`.safetensors`, else of torch.save).
/// Throws RunError for anything else.
WeightsFormat weights_format_of(base::FileSystem& files, const std::string& path);

/// Opens the weights at `path`. Of a DCP folder with more than a model only the model's tensors are
/// listed. Throws RunError when there are none of that format.
std::unique_ptr<WeightsReader> open_weights(base::FileSystem& files, WeightsFormat format,
                                            const std::string& path);

/// Starts to write `tensors` to `path`, which does not exist or is an empty folder. Throws RunError.
std::unique_ptr<WeightsWriter> create_weights(base::FileSystem& files, WeightsFormat format,
                                              const std::string& path,
                                              std::vector<WeightInfo> tensors);

}  // namespace titan::components
