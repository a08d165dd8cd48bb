#include "titan/step/batch_tensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>

#include <algorithm>

#include "titan/base/errors.h"
#include "titan/protocols/data_loader.h"

namespace titan::step {

namespace {

at::Tensor on_host(const protocols::Batch& batch, std::vector<std::int64_t>& ids) {
  return at::from_blob(ids.data(), {batch.rows, batch.seq_len}, at::kLong);
}

/// What is not page-locked is read before the call returns, but nothing that the GPU still does is waited for.
void copy_ids(const at::Tensor& to, const at::Tensor& host, bool pinned) {
  to.copy_(pinned ? host.pin_memory() : host, /*non_blocking=*/true);
}

}  // namespace

BatchTensors to_tensors(protocols::Batch& batch, at::Device device, bool pinned) {
  BatchTensors tensors = {on_host(batch, batch.input), on_host(batch, batch.labels)};
  if (device.is_cpu()) return tensors;
  const auto on_device = [&](at::Tensor& ids) {
    const at::Tensor result = at::empty(ids.sizes(), ids.options().device(device));
    copy_ids(result, ids, pinned);
    ids = result;
  };
  on_device(tensors.input);
  on_device(tensors.labels);
  return tensors;
}

void copy_to(const BatchTensors& to, protocols::Batch& batch, bool pinned) {
  const at::Tensor input = on_host(batch, batch.input);
  TITAN_CHECK(to.input.sizes() == input.sizes(), "a microbatch of another size than the first");
  copy_ids(to.input, input, pinned);
  copy_ids(to.labels, on_host(batch, batch.labels), pinned);
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
