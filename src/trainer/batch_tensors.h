#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "titan/protocols/data_loader.h"

namespace titan::trainer {

/// A microbatch on the device: int64 `[rows, seq_len]` each.
struct BatchTensors {
  at::Tensor input;
  at::Tensor labels;
};

/// On a CPU the tensors are views of `batch`, which must outlive them.
BatchTensors to_tensors(protocols::Batch& batch, at::Device device);

/// Whether any label is trained on.
bool has_labels(const std::vector<protocols::Batch>& batches);

/// The number of labels that are trained on, fp32 on `device`: what the loss of a step is divided
/// by; at least 1.
at::Tensor count_valid_tokens(const std::vector<protocols::Batch>& batches, at::Device device);

}  // namespace titan::trainer
