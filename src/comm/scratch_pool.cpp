#include "comm/scratch_pool.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <utility>

namespace titan::comm {

namespace {

// A unit's reduction, the next one's, and one more.
constexpr std::size_t kMostKept = 3;

}  // namespace

std::shared_ptr<const at::Tensor> ScratchPool::lend(std::int64_t elements, at::ScalarType type) {
  const std::int64_t bytes = elements * static_cast<std::int64_t>(c10::elementSize(type));
  at::Tensor buffer = take(bytes);
  auto* view = new at::Tensor(buffer.narrow(0, 0, bytes).view(type));
  return {view, [pool = shared_from_this(), buffer](const at::Tensor* lent) {
            delete lent;
            pool->give_back(buffer);
          }};
}

at::Tensor ScratchPool::take(std::int64_t bytes) {
  {
    const std::lock_guard lock(mutex_);
    const auto fits = std::ranges::find_if(
        free_, [&](const at::Tensor& buffer) { return buffer.numel() >= bytes; });
    if (fits != free_.end()) {
      at::Tensor buffer = std::move(*fits);
      free_.erase(fits);
      return buffer;
    }
    if (!free_.empty()) free_.erase(free_.begin());  // too small; the new one takes its place
  }
  return at::empty({bytes}, at::kByte);
}

void ScratchPool::give_back(at::Tensor buffer) {
  const std::lock_guard lock(mutex_);
  const auto place = std::ranges::find_if(
      free_, [&](const at::Tensor& other) { return other.numel() >= buffer.numel(); });
  free_.insert(place, std::move(buffer));
  if (free_.size() > kMostKept) free_.erase(free_.begin());
}

}  // namespace titan::comm
