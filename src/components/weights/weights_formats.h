#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/components/weights/weights.h"

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// `open_weights` of one format each.
std::unique_ptr<WeightsReader> open_hf_weights(base::FileSystem& files, const std::string& path);
std::unique_ptr<WeightsReader> open_dcp_weights(base::FileSystem& files, const std::string& path);
std::unique_ptr<WeightsReader> open_pt_weights(base::FileSystem& files, const std::string& path);

/// `create_weights` of one format each.
std::unique_ptr<WeightsWriter> create_hf_weights(base::FileSystem& files, const std::string& path,
                                                 std::vector<WeightInfo> tensors);
std::unique_ptr<WeightsWriter> create_dcp_weights(base::FileSystem& files, const std::string& path,
                                                  std::vector<WeightInfo> tensors);
std::unique_ptr<WeightsWriter> create_pt_weights(base::FileSystem& files, const std::string& path,
                                                 std::vector<WeightInfo> tensors);

}  // namespace titan::components
