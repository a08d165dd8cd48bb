#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "titan/parallel/context_parallel.h"
#include "titan/protocols/data_loader.h"

namespace titan::step {

/// A microbatch on the device: int64 `[rows, seq_len]` each.
struct BatchTensors {
  at::Tensor input;
  at::Tensor labels;
};

/// On a CPU the tensors are views of `batch`, which must outlive them. To a GPU they may go through
/// page-locked memory (`pinned`), so that the copy waits for nothing that the GPU is still doing.
BatchTensors to_tensors(protocols::Batch& batch, at::Device device, bool pinned = false);
/// Into tensors of a device that are there; `batch` has their size. Waits for nothing that the device is still doing.
void copy_to(const BatchTensors& to, protocols::Batch& batch, bool pinned);

/// The number of labels that are trained on.
std::int64_t count_valid_tokens(const std::vector<protocols::Batch>& batches);
/// Of this rank's part of the texts.
std::int64_t count_valid_tokens(const std::vector<protocols::Batch>& batches,
                                const parallel::TextCut& cut);

}  // namespace titan::step
