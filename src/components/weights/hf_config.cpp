#include <algorithm>

#include "titan/base/errors.h"
#include "titan/base/file_kind.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_state.h"
#include "titan/components/weights/model_weights.h"
#include "titan/protocols/hf_config.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

constexpr std::uint64_t kMaxConfigBytes = 1 << 20;

/// What weights may be quantized by.
void check_quantization(const protocols::HfConfig& config, std::vector<std::string>& errors) {
  const auto method = config.text("quantization_config.quant_method");
  if (method && *method != "fp8") {
    errors.push_back(concat("its weights are quantized by \"", *method,
                            "\"; what is read is \"fp8\" in blocks of 128 x 128"));
  }
  config.compare_list("quantization_config.weight_block_size", {128, 128}, errors);
}

}  // namespace

void check_hf_config(base::FileSystem& files, const std::string& folder,
                     const protocols::StateDictAdapter& adapter) {
  const std::string path = folder + "/config.json";
  if (!files.exists(path)) return;
  const std::string text = base::read_whole_file(files, path, kMaxConfigBytes);
  base::refuse_other_kind(path, text);
  protocols::ConfigDifferences differences;
  try {
    differences = adapter.compare_config(text);
    check_quantization(protocols::HfConfig(text), differences.errors);
  } catch (const RunError& error) {
    throw RunError(concat("'", path, "': ", error.what()));
  }
  if (!differences.errors.empty()) {
    std::string message = concat("'", path, "' describes another model:");
    for (const std::string& error : differences.errors) message += "\n  " + error;
    throw RunError(message);
  }
  for (const std::string& warning : differences.warnings) {
    tools::log_warning("'", path, "': ", warning,
                       ". The weights fit, but what is computed from them differs.");
  }
}

void write_hf_config(base::FileSystem& files, const std::string& folder,
                     const protocols::StateDictAdapter& adapter, at::ScalarType dtype,
                     const std::vector<WeightInfo>& hf_tensors) {
  // Without a head of its own the model's head is its embedding.
  const bool has_head = std::any_of(hf_tensors.begin(), hf_tensors.end(), [&](const auto& tensor) {
    return adapter.stand_in(tensor.name).has_value();
  });
  const formats::TensorDtype* type = dtype_of(dtype);
  TITAN_CHECK(type != nullptr, "no name for the type of weights");
  const std::string text = adapter.hf_config(std::string(type->name), !has_head);
  if (!text.empty()) base::write_file_atomically(files, folder + "/config.json", text);
}

}  // namespace titan::components
