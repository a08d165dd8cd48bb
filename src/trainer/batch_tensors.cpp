#include "batch_tensors.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/scalar_tensor.h>

#include <algorithm>

#include "titan/protocols/data_loader.h"

namespace titan::trainer {

BatchTensors to_tensors(protocols::Batch& batch, at::Device device) {
  const auto view = [&](std::vector<std::int64_t>& ids) {
    return at::from_blob(ids.data(), {batch.rows, batch.seq_len}, at::kLong).to(device);
  };
  return {view(batch.input), view(batch.labels)};
}

bool has_labels(const std::vector<protocols::Batch>& batches) {
  return std::ranges::any_of(batches, [](const protocols::Batch& batch) {
    return std::ranges::any_of(batch.labels,
                               [](std::int64_t label) { return label != protocols::kIgnoreIndex; });
  });
}

at::Tensor count_valid_tokens(const std::vector<protocols::Batch>& batches, at::Device device) {
  std::int64_t valid = 0;
  for (const protocols::Batch& batch : batches) {
    const auto ignored =
        std::count(batch.labels.begin(), batch.labels.end(), protocols::kIgnoreIndex);
    valid += static_cast<std::int64_t>(batch.labels.size()) - ignored;
  }
  // A step of prompts only has the loss 0, not 0 / 0.
  return at::scalar_tensor(static_cast<double>(std::max<std::int64_t>(valid, 1)),
                           at::TensorOptions().dtype(at::kFloat).device(device));
}

}  // namespace titan::trainer
