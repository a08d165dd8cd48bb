#include "titan/step/batch_tensors.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>

#include "titan/protocols/data_loader.h"

namespace titan::step {

BatchTensors to_tensors(protocols::Batch& batch, at::Device device, bool pinned) {
  const auto view = [&](std::vector<std::int64_t>& ids) {
    const at::Tensor host = at::from_blob(ids.data(), {batch.rows, batch.seq_len}, at::kLong);
    if (device.is_cpu()) return host;
    // What is not page-locked is read before the call returns, but nothing that the GPU still does is waited for.
    return (pinned ? host.pin_memory() : host)
        .to(device, host.scalar_type(), /*non_blocking=*/true);
  };
  return {view(batch.input), view(batch.labels)};
}

std::int64_t count_valid_tokens(const std::vector<protocols::Batch>& batches) {
  std::int64_t valid = 0;
  for (const protocols::Batch& batch : batches) {
    const auto ignored =
        std::count(batch.labels.begin(), batch.labels.end(), protocols::kIgnoreIndex);
    valid += static_cast<std::int64_t>(batch.labels.size()) - ignored;
  }
  return valid;
}

}  // namespace titan::step
