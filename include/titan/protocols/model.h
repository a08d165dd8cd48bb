#pragma once

#include <ATen/core/Generator.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "titan/nn/module.h"

namespace titan::config {
struct JobConfig;
}

namespace titan::protocols {

/// Size of a model as the metrics report it.
struct ModelSize {
  std::int64_t parameters = 0;
  /// Those that a token passes, where they are not all.
  std::optional<std::int64_t> active_parameters = std::nullopt;
  /// Floating-point operations of forward and backward for one token, recomputation not counted.
  std::int64_t flops_per_token = 0;
};

/// The hyper-parameters of one flavor of a model.
class ModelArgs {
 public:
  virtual ~ModelArgs() = default;
  virtual std::unique_ptr<ModelArgs> clone() const = 0;
  /// Takes over what the job decides (sequence length, ...). Returns warnings. Throws ConfigError.
  virtual std::vector<std::string> update_from_config(const config::JobConfig& config) = 0;
  /// `model` is the whole model, before any parallelism; the meta device is enough.
  virtual ModelSize size_of(const nn::Module& model, std::int64_t seq_len) const = 0;
  /// Indented JSON, for the log.
  virtual std::string to_json() const = 0;
  /// Number of rows of the token embedding; token ids must be smaller.
  virtual std::int64_t vocab_size() const = 0;
  /// Why the model cannot be cut over so many ranks of tensor parallelism: every reason, with its numbers. A
  /// model that does not say is not cut at all.
  virtual std::vector<std::string> tensor_parallel_problems(std::int64_t degree) const {
    return degree == 1 ? std::vector<std::string>{}
                       : std::vector<std::string>{"the model has no tensor-parallel plan"};
  }
  /// The same of ranks that share out experts. A model that does not say has none.
  virtual std::vector<std::string> expert_parallel_problems(std::int64_t degree) const {
    return degree == 1 ? std::vector<std::string>{}
                       : std::vector<std::string>{"the model has no experts"};
  }
  /// Whether context parallelism can cut the model's texts: its `parallelize` attaches it, and its layers go by
  /// the positions of a sequence.
  virtual bool allows_cut_texts() const { return false; }
};

/// What the trainer asks of a model beyond being a module. Called with {tokens int64 `[B, S]`} and what
/// they are (nn::SequenceInfo); returns {logits `[B, S, vocab]`}.
class ModelProtocol : public nn::Module {
 public:
  /// Fills parameters and buffers; the only consumer of random numbers, in the reference's order.
  /// Buffers are computed on `buffer_device`, or where they are. Without gradients.
  virtual void init_weights(at::Generator generator, std::optional<at::Device> buffer_device) = 0;

  /// The part of `init_weights` that no checkpoint replaces: computes the buffers that are not
  /// persistent. For models whose weights are loaded. Without gradients.
  virtual void init_buffers(std::optional<at::Device> buffer_device) {}

  /// Whether tokens attend within their own document only: then `document_mask` is asked for.
  virtual bool attends_within_documents() const { return false; }

  /// The mask of one microbatch. `documents` int64 `[B, S]` says which document of its row each token
  /// belongs to; `compute_dtype` is the type that attention runs in, `kernels` whose kernels do.
  virtual nn::AttentionMask document_mask(const at::Tensor& documents, at::ScalarType compute_dtype,
                                          at::DeviceType kernels) const {
    return nn::CausalMask{};
  }
};

}  // namespace titan::protocols
