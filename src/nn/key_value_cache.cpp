#include "titan/nn/key_value_cache.h"

#include <ATen/ops/empty.h>

#include "titan/base/errors.h"

namespace titan::nn {

namespace {

at::Tensor room_for(const at::Tensor& first_bhsd, std::int64_t capacity) {
  return at::empty({first_bhsd.size(0), first_bhsd.size(1), capacity, first_bhsd.size(3)},
                   first_bhsd.options().requires_grad(false));
}

}  // namespace

at::Tensor KeyValueCache::append(const at::Tensor& key) {
  const std::int64_t end = length_ + key.size(2);
  TITAN_CHECK(end <= capacity_, "a cache of ", capacity_, " tokens was given ", end);
  if (!keys_.defined()) keys_ = room_for(key, capacity_);
  keys_.slice(2, length_, end).copy_(key);
  length_ = end;
  return keys_.slice(2, 0, end);
}

std::pair<at::Tensor, at::Tensor> KeyValueCache::append(const at::Tensor& key,
                                                        const at::Tensor& value) {
  const std::int64_t begin = length_;
  const at::Tensor keys = append(key);
  if (!values_.defined()) values_ = room_for(value, capacity_);
  values_.slice(2, begin, length_).copy_(value);
  return {keys, values_.slice(2, 0, length_)};
}

std::int64_t KeyValueCache::bytes() const {
  std::size_t sum = 0;
  for (const at::Tensor& kept : {keys_, values_}) {
    if (kept.defined()) sum += kept.nbytes();
  }
  return static_cast<std::int64_t>(sum);
}

std::int64_t KeyValueCaches::bytes() const {
  std::int64_t sum = 0;
  for (const auto& [layer, cache] : by_layer_) sum += cache.bytes();
  return sum;
}

}  // namespace titan::nn
