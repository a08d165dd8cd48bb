#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/components/weights/weights.h"
#include "titan/protocols/state_dict_adapter.h"

namespace titan::components {

/// The Hugging Face weights `hf` seen as the tensors `ours` of a model: a box that is read of them reads
/// of `hf` only what it is made of. Throws one RunError naming all that is missing, not needed, used
/// twice or of other sizes. Warns of every tensor that stands in for another. `hf` and `adapter`
/// live as long.
std::unique_ptr<WeightsReader> as_model_weights(const WeightsReader& hf,
                                                const protocols::StateDictAdapter& adapter,
                                                const std::vector<protocols::TensorShape>& ours);

/// The weights `ours` of a model seen as Hugging Face's, in the order of its files. Throws RunError
/// naming all that have no translation. `ours` and `adapter` live as long.
std::unique_ptr<WeightsReader> as_hf_weights(const WeightsReader& ours,
                                             const protocols::StateDictAdapter& adapter);

/// What `tensors` are called and how large they are.
std::vector<protocols::TensorShape> shapes_of(const std::vector<WeightInfo>& tensors);

/// Throws one RunError naming all tensors that only one of the two has, and those whose sizes differ.
void check_same_tensors(const WeightsReader& weights,
                        const std::vector<protocols::TensorShape>& ours);

}  // namespace titan::components
