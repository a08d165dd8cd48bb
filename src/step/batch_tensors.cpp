#include "titan/step/batch_tensors.h"

#include <ATen/ops/from_blob.h>

#include <algorithm>

#include "titan/protocols/data_loader.h"

namespace titan::step {

BatchTensors to_tensors(protocols::Batch& batch, at::Device device, bool pinned) {
  const auto view = [&](std::vector<std::int64_t>& ids) {
    const at::Tensor host = at::from_blob(ids.data(), {batch.rows, batch.seq_len}, at::kLong);
    if (!pinned || !device.is_cuda()) return host.to(device);
    return host.pin_memory().to(device, host.scalar_type(), /*non_blocking=*/true);
  };
  return {view(batch.input), view(batch.labels)};
}

std::int64_t count_valid_tokens(const std::vector<protocols::Batch>& batches) {
  return count_valid_tokens(batches, parallel::TextCut());
}

std::int64_t count_valid_tokens(const std::vector<protocols::Batch>& batches,
                                const parallel::TextCut& cut) {
  std::int64_t valid = 0;
  for (const protocols::Batch& batch : batches) {
    const std::vector<nn::Chunk> pieces = cut.pieces(batch.seq_len, cut.rank);
    for (std::int64_t row = 0; row < batch.rows; ++row) {
      for (const nn::Chunk& piece : pieces) {
        const auto first = batch.labels.begin() + row * batch.seq_len + piece.offset;
        valid += piece.length - std::count(first, first + piece.length, protocols::kIgnoreIndex);
      }
    }
  }
  return valid;
}

}  // namespace titan::step
