#include "parallel/buffer_pool.h"

#include <ATen/ops/empty.h>
#include <c10/core/CPUAllocator.h>

#include <utility>

namespace titan::parallel {

BufferPool::BufferPool(at::Device device, bool keeps)
    : device_(device), keeps_(keeps), allocator_(c10::GetAllocator(device.type())) {}

c10::Storage BufferPool::make_storage() const {
  return c10::Storage(c10::Storage::use_byte_size_t(), 0, c10::DataPtr(nullptr, device_),
                      allocator_,
                      /*resizable=*/true);
}

void BufferPool::fill(const c10::Storage& storage, std::int64_t bytes) {
  c10::StorageImpl* impl = storage.unsafeGetStorageImpl();
  const auto fits = free_.lower_bound(bytes);
  // A much larger one is kept for those who need it.
  if (fits == free_.end() || fits->first > 2 * bytes) {
    impl->set_data_ptr_noswap(allocator_->allocate(static_cast<std::size_t>(bytes)));
    impl->set_nbytes(static_cast<std::size_t>(bytes));
  } else {
    impl->set_data_ptr_noswap(std::move(fits->second));
    impl->set_nbytes(static_cast<std::size_t>(fits->first));
    free_.erase(fits);
  }
}

void BufferPool::drain(const c10::Storage& storage) {
  c10::StorageImpl* impl = storage.unsafeGetStorageImpl();
  const auto bytes = static_cast<std::int64_t>(impl->nbytes());
  c10::DataPtr memory = impl->set_data_ptr(c10::DataPtr(nullptr, device_));
  impl->set_nbytes(static_cast<std::size_t>(0));
  if (keeps_ && bytes > 0) free_.emplace(bytes, std::move(memory));
}

at::Tensor BufferPool::take(std::int64_t elements, at::ScalarType dtype) {
  at::Tensor tensor = at::empty({0}, at::TensorOptions().dtype(dtype).device(device_));
  const c10::Storage storage = make_storage();
  fill(storage, elements * static_cast<std::int64_t>(tensor.itemsize()));
  return tensor.set_(storage, 0, {elements}, {1});
}

}  // namespace titan::parallel
