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

std::pair<at::Tensor, at::Tensor> KeyValueCache::append(const at::Tensor& key,
                                                        const at::Tensor& value) {
  const std::int64_t end = length_ + key.size(2);
  TITAN_CHECK(end <= capacity_, "a cache of ", capacity_, " tokens was given ", end);
  if (!keys_.defined()) {
    keys_ = room_for(key, capacity_);
    values_ = room_for(value, capacity_);
  }
  keys_.slice(2, length_, end).copy_(key);
  values_.slice(2, length_, end).copy_(value);
  length_ = end;
  return {keys_.slice(2, 0, end), values_.slice(2, 0, end)};
}

}  // namespace titan::nn
