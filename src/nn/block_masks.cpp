#include "titan/nn/block_masks.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <algorithm>
#include <tuple>
#include <variant>

namespace titan::nn {

namespace {

struct Places {
  std::int64_t length;  // of a block
  std::int64_t rows;
  std::int64_t queries;
  std::int64_t keys;
  at::Device device;

  at::Tensor range(std::int64_t begin, std::int64_t end) const {
    return at::arange(begin, end, at::TensorOptions().dtype(at::kLong).device(device));
  }

  /// bool `[queries, keys]`.
  at::Tensor in_one_block() const {
    const at::Tensor of_query = range(keys - queries, keys).floor_divide(length).unsqueeze(1);
    return of_query == range(0, keys).floor_divide(length);
  }
};

AttentionMask confined(const AllowedMask& mask, const Places& places) {
  return AllowedMask{mask.allowed.logical_and(places.in_one_block())};
}

AttentionMask confined(const CausalMask&, const Places& places) {
  const at::Tensor query = places.range(places.keys - places.queries, places.keys).unsqueeze(1);
  const at::Tensor causal = query >= places.range(0, places.keys);
  return AllowedMask{
      causal.logical_and(places.in_one_block()).view({1, 1, places.queries, places.keys})};
}

/// Documents end where blocks do. Where both begin there is a document without tokens, which does no harm; to find it would
/// mean to wait for the device.
AttentionMask confined(const PackedDocuments& documents, const Places& places) {
  const at::Tensor row = places.range(0, places.rows).unsqueeze(1) * places.queries;
  const std::int64_t blocks = (places.queries + places.length - 1) / places.length;
  const at::Tensor begins = (row + places.range(0, blocks) * places.length).flatten();
  const at::Tensor offsets = std::get<0>(at::cat({documents.offsets, begins.to(at::kInt)}).sort());
  return PackedDocuments{offsets, std::min(documents.longest, places.length)};
}

}  // namespace

SharedSequence BlockMasks::confine(const SharedSequence& sequence, std::int64_t rows,
                                   std::int64_t queries, std::int64_t keys, at::Device device) {
  if (keys <= length_) return sequence;
  const std::lock_guard lock(mutex_);
  const bool is_kept =
      sequence && kept_.of.lock() == sequence && kept_.queries == queries && kept_.keys == keys;
  if (is_kept) return kept_.confined;
  const auto result =
      sequence ? std::make_shared<SequenceInfo>(*sequence) : std::make_shared<SequenceInfo>();
  const Places places{length_, rows, queries, keys, device};
  result->mask = std::visit([&](const auto& mask) { return confined(mask, places); }, result->mask);
  kept_ = {sequence, queries, keys, result};
  return result;
}

}  // namespace titan::nn
