#pragma once

#include <cstdint>
#include <memory>
#include <mutex>

namespace titan::forecast {

/// What memory was asked for: by an operator for its result, or by our own code (the pool of FSDP,
/// buffers of DDP).
enum class Purpose { kResult, kBuffer };

/// Bytes that were alive at one moment.
struct LiveBytes {
  std::int64_t results = 0;
  std::int64_t buffers = 0;

  std::int64_t total() const { return results + buffers; }
};

/// Counts the bytes of CPU tensors that are alive. Any thread.
class MemoryTracker {
 public:
  LiveBytes live() const;
  /// The most that were alive at once since the last reset.
  LiveBytes peak() const;
  void reset_peak();

  void born(Purpose purpose, std::int64_t bytes);
  void died(Purpose purpose, std::int64_t bytes);

 private:
  mutable std::mutex mutex_;
  LiveBytes live_;
  LiveBytes peak_;
};

enum class Memory {
  kReal,
  /// Large tensors get none; nobody may read or write them (see `FakeTensors`).
  kPretended,
};

/// While it lives, what LibTorch allocates for CPU tensors on this thread is counted by `tracker`,
/// until it is freed, wherever that is. The first scope of a process puts an allocator of ours in
/// front of LibTorch's, for good: memory that it has given out may outlive every scope.
class TrackingScope {
 public:
  TrackingScope(std::shared_ptr<MemoryTracker> tracker, Memory memory,
                Purpose purpose = Purpose::kBuffer);
  ~TrackingScope();
  TrackingScope(const TrackingScope&) = delete;
  TrackingScope& operator=(const TrackingScope&) = delete;

  /// What this thread's allocations are counted as; null outside of all scopes.
  struct Account {
    std::shared_ptr<MemoryTracker> tracker;
    Memory memory;
    Purpose purpose;
  };

 private:
  Account account_;
  const Account* outer_;
};

}  // namespace titan::forecast
