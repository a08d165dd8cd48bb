#include "app/tensor_memory.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include "titan/tools/best_fit_heap.h"

namespace titan::app {

namespace {

/// Smaller blocks would cut up the holes of the large ones.
constexpr std::size_t kLarge = 32 * 1024;

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
constexpr bool kIsWatched = true;
#else
constexpr bool kIsWatched = false;
#endif

class TensorAllocator : public c10::Allocator {
 public:
  /// Never destroyed: tensors may be freed at the very end.
  static TensorAllocator& instance() {
    static auto& allocator = *new TensorAllocator(*c10::GetCPUAllocator());
    return allocator;
  }

  c10::DataPtr allocate(std::size_t bytes) override {
    void* const block = bytes < kLarge ? nullptr : heap_.allocate(bytes);
    if (block == nullptr)
      return others_.allocate(bytes);  // which knows what to say where there is no memory
    c10::profiledCPUMemoryReporter().New(block, bytes);
    return {block, block, &free_by_address, c10::DeviceType::CPU};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free_by_address; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }

 private:
  explicit TensorAllocator(c10::Allocator& others) : others_(others) {}

  static void free_by_address(void* address) {
    if (address == nullptr) return;
    TensorAllocator& allocator = instance();
    if (allocator.heap_.free(address)) {
      c10::profiledCPUMemoryReporter().Delete(address);
    } else {
      allocator.others_.raw_deallocate(address);
    }
  }

  c10::Allocator& others_;
  tools::BestFitHeap heap_;
};

}  // namespace

void keep_tensors_in_a_heap_of_their_own() {
  constexpr std::uint8_t kBeforeLibTorchs = 1;
  if (!kIsWatched) c10::SetCPUAllocator(&TensorAllocator::instance(), kBeforeLibTorchs);
}

}  // namespace titan::app
