#include "titan/components/weights.h"

#include "components/weights/weights_formats.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

[[noreturn]] void refuse(WeightsFormat format) {
  throw RunError(concat("not available in this build yet: weights in the format ",
                        format == WeightsFormat::kDcp ? "dcp" : "pt"));
}

}  // namespace

std::unique_ptr<WeightsReader> open_weights(base::FileSystem& files, WeightsFormat format,
                                            const std::string& path) {
  if (format == WeightsFormat::kHf) return open_hf_weights(files, path);
  refuse(format);
}

std::unique_ptr<WeightsWriter> create_weights(base::FileSystem& files, WeightsFormat format,
                                              const std::string& path,
                                              std::vector<WeightInfo> tensors) {
  if (format == WeightsFormat::kHf) return create_hf_weights(files, path, std::move(tensors));
  refuse(format);
}

}  // namespace titan::components
