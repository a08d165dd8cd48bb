#include "forecast/memory_tracker.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>

#include <unordered_map>
#include <utility>

namespace titan::forecast {
namespace {

/// Smaller tensors are always real: LibTorch writes into some (states of random generators) without
/// going through an operator.
constexpr std::size_t kSmall = 32 * 1024;

thread_local const TrackingScope::Account* current_account = nullptr;

/// Whom to tell when a piece of memory is freed.
struct Block {
  std::shared_ptr<MemoryTracker> tracker;
  Purpose purpose;
  std::int64_t bytes;

  void died() const { tracker->died(purpose, bytes); }
};

/// What a tensor owns that has no memory.
void free_pretended(void* context) {
  const std::unique_ptr<Block> block(static_cast<Block*>(context));
  block->died();
}

/// LibTorch's own allocator with a count for threads that have an account. oneDNN asks for memory by
/// its address alone, so that counted blocks are found by it.
class TrackingAllocator : public c10::Allocator {
 public:
  static TrackingAllocator& instance() {
    static TrackingAllocator allocator(*c10::GetCPUAllocator());
    return allocator;
  }

  c10::DataPtr allocate(std::size_t bytes) override {
    const TrackingScope::Account* account = current_account;
    if (account == nullptr) return real_.allocate(bytes);
    Block block = {account->tracker, account->purpose, static_cast<std::int64_t>(bytes)};
    block.tracker->born(block.purpose, block.bytes);
    if (account->memory == Memory::kPretended && bytes > kSmall) {
      return {nullptr, new Block(std::move(block)), &free_pretended, c10::DeviceType::CPU};
    }
    c10::DataPtr memory = real_.allocate(bytes);
    void* address = memory.release_context();
    if (address == nullptr) {  // of nothing
      block.died();
      return {nullptr, c10::DeviceType::CPU};
    }
    const std::lock_guard lock(mutex_);
    blocks_.emplace(address, std::move(block));
    return {address, address, &free_by_address, c10::DeviceType::CPU};
  }

  c10::DeleterFnPtr raw_deleter() const override { return &free_by_address; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    real_.copy_data(to, from, bytes);
  }

 private:
  explicit TrackingAllocator(c10::Allocator& real) : real_(real) {}

  static void free_by_address(void* address) { instance().free(address); }

  void free(void* address) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto found = blocks_.find(address); found != blocks_.end()) {
        found->second.died();
        blocks_.erase(found);
      }
    }
    real_.raw_deallocate(address);
  }

  c10::Allocator& real_;
  std::mutex mutex_;
  std::unordered_map<void*, Block> blocks_;
};

void install_allocator() {
  static const bool installed = [] {
    constexpr std::uint8_t kBeforeAllOthers = 255;
    c10::SetCPUAllocator(&TrackingAllocator::instance(), kBeforeAllOthers);
    return true;
  }();
  static_cast<void>(installed);
}

}  // namespace

LiveBytes MemoryTracker::live() const {
  const std::lock_guard lock(mutex_);
  return live_;
}

LiveBytes MemoryTracker::peak() const {
  const std::lock_guard lock(mutex_);
  return peak_;
}

void MemoryTracker::reset_peak() {
  const std::lock_guard lock(mutex_);
  peak_ = live_;
}

void MemoryTracker::born(Purpose purpose, std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  (purpose == Purpose::kResult ? live_.results : live_.buffers) += bytes;
  rise_to(live_);
}

void MemoryTracker::rise_to(const LiveBytes& bytes) {
  if (bytes.total() > peak_.total()) peak_ = bytes;
  if (bytes.total() > episode_peak_.total()) episode_peak_ = bytes;
}

void MemoryTracker::begin_episode() {
  const std::lock_guard lock(mutex_);
  before_episode_ = live_;
  episode_peak_ = live_;
}

MemoryTracker::Episode MemoryTracker::end_episode() {
  const std::lock_guard lock(mutex_);
  return {episode_peak_ - before_episode_, live_ - before_episode_};
}

void MemoryTracker::repeat(const Episode& episode) {
  const std::lock_guard lock(mutex_);
  rise_to(live_ + episode.peak);
  live_ += episode.change;
}

void MemoryTracker::died(Purpose purpose, std::int64_t bytes) {
  const std::lock_guard lock(mutex_);
  (purpose == Purpose::kResult ? live_.results : live_.buffers) -= bytes;
}

TrackingScope::TrackingScope(std::shared_ptr<MemoryTracker> tracker, Memory memory, Purpose purpose)
    : account_{std::move(tracker), memory, purpose}, outer_(current_account) {
  install_allocator();
  current_account = &account_;
}

TrackingScope::~TrackingScope() { current_account = outer_; }

}  // namespace titan::forecast
