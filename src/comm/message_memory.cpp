#include "comm/message_memory.h"

#include <ATen/ops/empty.h>
#include <c10/core/CPUAllocator.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <utility>

#include "titan/base/errors.h"

namespace titan::comm {

namespace {

constexpr std::size_t kSmallest = 4096;

struct Header {
  std::atomic<std::uint32_t> borrowers;
};
static_assert(sizeof(Header) <= MessageMemory::kHeader);

Header& header(const SharedMemory& memory) { return *reinterpret_cast<Header*>(memory.data()); }

/// What the storage of an outgoing tensor holds.
struct Outgoing {
  const MessageMemory* of;
  std::shared_ptr<SharedMemory> memory;
};

void end_outgoing(void* outgoing) { delete static_cast<Outgoing*>(outgoing); }

struct Incoming {
  std::function<void()> let_go;
};

void end_incoming(void* given) {
  const std::unique_ptr<Incoming> incoming(static_cast<Incoming*>(given));
  incoming->let_go();
}

at::Tensor in_storage(c10::DataPtr data, std::size_t bytes, std::int64_t elements,
                      at::ScalarType type) {
  const c10::Storage storage(c10::Storage::use_byte_size_t(), bytes, std::move(data),
                             /*allocator=*/nullptr, /*resizable=*/false);
  at::Tensor tensor = at::empty({0}, type);
  tensor.unsafeGetTensorImpl()->set_storage_keep_dtype(storage);
  tensor.unsafeGetTensorImpl()->set_sizes_contiguous({elements});
  return tensor;
}

}  // namespace

std::function<void()> MessageMemory::borrow(std::shared_ptr<SharedMemory> memory) {
  header(*memory).borrowers.fetch_add(1, std::memory_order_relaxed);
  return [memory = std::move(memory)] {
    header(*memory).borrowers.fetch_sub(1, std::memory_order_release);
  };
}

bool MessageMemory::is_lent(const SharedMemory& memory) {
  return header(memory).borrowers.load(std::memory_order_acquire) != 0;
}

std::shared_ptr<SharedMemory> MessageMemory::take(std::size_t bytes) {
  // Powers of two, so that messages of any sizes, as those to experts are, use few. Pages that nobody writes to are not there.
  const std::size_t size = std::bit_ceil(std::max(kHeader + bytes, kSmallest));
  std::unique_ptr<SharedMemory> memory;
  {
    const std::lock_guard lock(mutex_);
    if (const auto fits = free_.find(size); fits != free_.end()) {
      memory = std::move(fits->second);
      free_.erase(fits);
    }
  }
  if (!memory) {
    auto made = SharedMemory::make(size);
    if (!made) {
      throw std::runtime_error(concat("no memory for a message of ", bytes,
                                      " bytes to processes of this machine: ", std::strerror(errno),
                                      errno == EMFILE ? " (ulimit -n)" : ""));
    }
    memory = std::make_unique<SharedMemory>(std::move(*made));
  }
  return {memory.release(), [pool = shared_from_this()](SharedMemory* done) {
            pool->give_back(std::unique_ptr<SharedMemory>(done));
          }};
}

void MessageMemory::give_back(std::unique_ptr<SharedMemory> memory) {
  const std::lock_guard lock(mutex_);
  const std::size_t size = memory->size();
  // Before others of its size: what was used last is taken first.
  free_.emplace_hint(free_.lower_bound(size), size, std::move(memory));
}

at::Tensor MessageMemory::outgoing(std::int64_t elements, at::ScalarType type) {
  const std::size_t bytes = static_cast<std::size_t>(elements) * c10::elementSize(type);
  auto memory = take(std::max<std::size_t>(bytes, 1));
  std::byte* const data = memory->data() + kHeader;
  auto holder = std::make_unique<Outgoing>(Outgoing{this, std::move(memory)});
  return in_storage({data, holder.release(), &end_outgoing, at::kCPU}, bytes, elements, type);
}

std::shared_ptr<SharedMemory> MessageMemory::of(const at::Tensor& tensor) const {
  const c10::DataPtr& data = tensor.storage().data_ptr();
  if (data.get_deleter() != &end_outgoing) return nullptr;
  const auto* outgoing = static_cast<const Outgoing*>(data.get_context());
  return outgoing->of == this ? outgoing->memory : nullptr;
}

at::Tensor without_memory(std::int64_t elements, at::ScalarType type) {
  return in_storage({nullptr, at::kCPU}, 0, elements, type);
}

bool is_without_memory(const at::Tensor& tensor) {
  return tensor.numel() > 0 && tensor.storage().nbytes() == 0;
}

std::byte* allocate(const at::Tensor& tensor) {
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap(c10::GetCPUAllocator()->allocate(tensor.nbytes()));
  storage->set_nbytes(tensor.nbytes());
  return static_cast<std::byte*>(tensor.mutable_data_ptr());
}

void lay_at(const at::Tensor& tensor, const std::byte* data, std::function<void()> let_go) {
  // The tensor is not written to: who receives into such a one has said so.
  void* const place = const_cast<std::byte*>(data);
  auto holder = std::make_unique<Incoming>(Incoming{std::move(let_go)});
  c10::StorageImpl* storage = tensor.storage().unsafeGetStorageImpl();
  storage->set_data_ptr_noswap({place, holder.release(), &end_incoming, at::kCPU});
  storage->set_nbytes(tensor.nbytes());
}

}  // namespace titan::comm
