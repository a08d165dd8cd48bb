#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/formats/dcp/dcp_metadata.h"
#include "titan/formats/pickle/pickle.h"
#include "titan/formats/tensor_dtype.h"
#include "titan/nn/parameter.h"

namespace titan::components {

/// A tensor of a state: all of it, or this rank's box of it. The box may be empty.
struct StateTensor {
  formats::DcpPath path;  // ("optimizer", "state", "norm.weight", "exp_avg")
  at::Tensor tensor;      // what this rank holds; saving reads it, loading fills it
  std::optional<nn::TensorBox> box = std::nullopt;  // nothing: the whole

  /// The path with dots in between: what the entry is called.
  std::string key() const;
};

/// A value of a state that is no tensor.
struct StateObject {
  formats::DcpPath path;  // ("train_state", "step")
  formats::PickleValue value;
  std::string key() const;
};

/// What a rank has to save, flat. Ranks may hold the same entries, the same boxes or different ones.
struct FlatState {
  std::vector<StateTensor> tensors;
  std::vector<StateObject> objects;
};

/// "optimizer.state.norm.weight.exp_avg".
std::string dcp_key(const formats::DcpPath& path);

/// What a checkpoint calls a type of elements: "bfloat16". Throws RunError for one that it cannot hold.
std::string_view dtype_name(at::ScalarType type);
/// The type of that name; nothing for one that LibTorch has no tensors of.
std::optional<at::ScalarType> scalar_type_of(std::string_view name);
/// What all formats call a type. Null for one that no file holds.
const formats::TensorDtype* dtype_of(at::ScalarType type);

}  // namespace titan::components
