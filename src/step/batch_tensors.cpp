#include "titan/step/batch_tensors.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>

#include "titan/protocols/data_loader.h"

namespace titan::step {

BatchTensors to_tensors(protocols::Batch& batch, at::Device device) {
  const auto view = [&](std::vector<std::int64_t>& ids) {
    return at::from_blob(ids.data(), {batch.rows, batch.seq_len}, at::kLong).to(device);
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
