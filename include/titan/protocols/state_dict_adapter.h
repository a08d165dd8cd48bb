#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace titan::protocols {

/// A whole tensor by name.
struct TensorShape {
  std::string name;
  std::vector<std::int64_t> sizes;
};

/// A box of a tensor.
struct TensorSlice {
  std::string name;
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> sizes;
};

/// A tensor of a Hugging Face checkpoint and those of ours that it is made of.
struct HfTensor {
  std::string name;
  std::vector<std::int64_t> sizes;
  std::vector<std::string> sources;
};

/// How a Hugging Face config differs from our model.
struct ConfigDifferences {
  std::vector<std::string> errors;    // it is another model: its weights would mean something else
  std::vector<std::string> warnings;  // the weights fit, but what is computed from them differs
};

/// Translates a model's tensors to Hugging Face's names and layouts and back, tensor by tensor. One
/// tensor may be made of several of the other side. Immutable: any number of threads.
class StateDictAdapter {
 public:
  virtual ~StateDictAdapter() = default;

  /// The tensors of a Hugging Face checkpoint that holds `ours`, in the order of its files. Throws
  /// RunError naming all of ours that have no translation.
  virtual std::vector<HfTensor> hf_tensors(const std::vector<TensorShape>& ours) const = 0;

  /// The Hugging Face tensor `name`, of the whole tensors that `hf_tensors` said it is made of. May be
  /// one of them.
  virtual at::Tensor to_hf(const std::string& name,
                           const std::vector<at::Tensor>& sources) const = 0;

  /// What must be read of a Hugging Face checkpoint to make the box `ours`; nothing for a tensor that it has not.
  virtual std::vector<TensorSlice> hf_slices(const TensorSlice& ours) const = 0;

  /// The box `ours`, made of what `hf_slices` asked for. May be one of them.
  virtual at::Tensor from_hf(const TensorSlice& ours,
                             const std::vector<at::Tensor>& slices) const = 0;

  /// The name by which this adapter knows a tensor of a checkpoint: checkpoints may have a model as a part of a larger one.
  virtual std::string known_name(const std::string& hf_name) const { return hf_name; }

  /// Whether a checkpoint may hold this tensor though the model needs it not.
  virtual bool is_ignored(const std::string& hf_name) const { return false; }

  /// The tensor that takes the place of `hf_name` in checkpoints without it: models whose output head is
  /// their embedding store it once.
  virtual std::optional<std::string> stand_in(const std::string& hf_name) const {
    return std::nullopt;
  }

  /// Compares the text of a `config.json` with the model's arguments. Throws RunError when it is none.
  virtual ConfigDifferences compare_config(const std::string& config_json) const { return {}; }

  /// The `config.json` with which Hugging Face's `transformers` builds this model; empty where the
  /// adapter knows none. `torch_dtype`: "bfloat16". `tied`: the head is the embedding.
  virtual std::string hf_config(const std::string& torch_dtype, bool tied) const { return {}; }
};

}  // namespace titan::protocols
