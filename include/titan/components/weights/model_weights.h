#pragma once

#include <c10/core/ScalarType.h>

#include <string>
#include <vector>

#include "titan/components/weights/weights.h"
#include "titan/protocols/model_part.h"
#include "titan/protocols/state_dict_adapter.h"

namespace titan::base {
class FileSystem;
}
namespace titan::comm {
struct RankContext;
}
namespace titan::nn {
class Module;
}

namespace titan::components {

/// The parameters and persistent buffers of a model, or of a stage of it, whoever has them, by their full
/// sizes and under each of their names. On the meta device too.
std::vector<protocols::TensorShape> model_tensors(nn::Module& model);

/// Fills the parameters and persistent buffers of a model, or of a stage of it, with what this rank has of
/// them, reading no more of the files than that; converts to the model's types. `adapter`: translates from Hugging Face's
/// names; null: the weights have ours. Every tensor of the file must be needed and every one that is
/// needed be there: else throws one RunError naming all, before anything is read. Ranks need not come
/// together.
void load_model_weights(nn::Module& model, const WeightsReader& weights,
                        const protocols::StateDictAdapter* adapter = nullptr);

/// Writes a model as a Hugging Face folder of `dtype` (float32, bfloat16, float16): safetensors files,
/// their index, and a `config.json` where the adapter makes one. All ranks come together; each whole
/// tensor is on all of them for a moment, one at a time; a file is written by one rank, and different
/// files by different ranks. The index is written last, by rank 0. Throws RunError, on all ranks when
/// one of them fails, which they tell each other on `context.host_group`.
void save_hf_weights(base::FileSystem& files, const std::string& folder,
                     const protocols::ModelParts& parts, const protocols::StateDictAdapter& adapter,
                     at::ScalarType dtype, const comm::RankContext& context);

/// What differs between a model and the `config.json` beside Hugging Face weights; nothing when there is
/// none. Throws RunError for errors, all in one, and logs the warnings.
void check_hf_config(base::FileSystem& files, const std::string& folder,
                     const protocols::StateDictAdapter& adapter);

/// Writes the adapter's `config.json` for weights of `dtype` to a folder, if it makes one.
void write_hf_config(base::FileSystem& files, const std::string& folder,
                     const protocols::StateDictAdapter& adapter, at::ScalarType dtype,
                     const std::vector<WeightInfo>& hf_tensors);

}  // namespace titan::components
