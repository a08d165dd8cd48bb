#include "titan/nn/block_masks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <tuple>
#include <variant>

namespace titan::nn {

namespace {

at::Tensor range(std::int64_t begin, std::int64_t end, at::Device device) {
  return at::arange(begin, end, at::TensorOptions().dtype(at::kLong).device(device));
}

struct Places {
  std::int64_t length;  // of a block
  std::int64_t rows;
  at::Tensor of_queries;  // int64 [queries]
  at::Tensor of_keys;     // int64 [keys]

  /// bool `[queries, keys]`.
  at::Tensor in_one_block() const {
    return of_queries.floor_divide(length).unsqueeze(1) == of_keys.floor_divide(length);
  }
};

Places places_of(const SharedSequence& sequence, std::int64_t length, std::int64_t rows,
                 std::int64_t queries, std::int64_t keys, at::Device device) {
  if (sequence && sequence->is_part()) {
    return {length, rows, sequence->positions, sequence->key_positions};
  }
  return {length, rows, range(keys - queries, keys, device), range(0, keys, device)};
}

AttentionMask confined(const AllowedMask& mask, const Places& places) {
  return AllowedMask{mask.allowed.logical_and(places.in_one_block())};
}

AttentionMask confined(const CausalMask&, const Places& places) {
  const at::Tensor causal = places.of_queries.unsqueeze(1) >= places.of_keys;
  return AllowedMask{causal.logical_and(places.in_one_block()).unsqueeze(0).unsqueeze(0)};
}

/// Documents end where blocks do. Where both begin there is a document without tokens, which does no harm; to find it would
/// mean to wait for the device.
AttentionMask confined(const PackedDocuments& documents, const Places& places) {
  const at::Device device = places.of_queries.device();
  const std::int64_t queries = places.of_queries.size(0);
  const at::Tensor row = range(0, places.rows, device).unsqueeze(1) * queries;
  const std::int64_t blocks = (queries + places.length - 1) / places.length;
  const at::Tensor begins = (row + range(0, blocks, device) * places.length).flatten();
  const at::Tensor offsets = std::get<0>(at::cat({documents.offsets, begins.to(at::kInt)}).sort());
  return PackedDocuments{offsets, std::min(documents.longest, places.length)};
}

}  // namespace

SharedSequence BlockMasks::confine(const SharedSequence& sequence, std::int64_t rows,
                                   std::int64_t queries, std::int64_t keys, at::Device device) {
  const bool is_part = sequence && sequence->is_part();
  if ((is_part ? sequence->key_positions.size(0) : keys) <= length_) return sequence;
  const std::lock_guard lock(mutex_);
  const bool is_kept =
      sequence && kept_.of.lock() == sequence && kept_.queries == queries && kept_.keys == keys;
  if (is_kept) return kept_.confined;
  const auto result =
      sequence ? std::make_shared<SequenceInfo>(*sequence) : std::make_shared<SequenceInfo>();
  const Places places = places_of(sequence, length_, rows, queries, keys, device);
  result->mask = std::visit([&](const auto& mask) { return confined(mask, places); }, result->mask);
  kept_ = {sequence, queries, keys, result};
  return result;
}

}  // namespace titan::nn
