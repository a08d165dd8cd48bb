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
  LiveBytes& operator+=(const LiveBytes& other) {
    results += other.results;
    buffers += other.buffers;
    return *this;
  }
  friend LiveBytes operator+(LiveBytes a, const LiveBytes& b) { return a += b; }
  friend LiveBytes operator-(const LiveBytes& a, const LiveBytes& b) {
    return {a.results - b.results, a.buffers - b.buffers};
  }
};

/// Counts the bytes of CPU tensors that are alive. Any thread.
class MemoryTracker {
 public:
  LiveBytes live() const;
  /// The most that were alive at once since the last reset.
  LiveBytes peak() const;
  void reset_peak();

  /// What some work comes to beside what was alive before it.
  struct Episode {
    LiveBytes peak;
    LiveBytes change;  // at its end
  };
  void begin_episode();
  Episode end_episode();
  /// Counts the same work once more.
  void repeat(const Episode& episode);

  void born(Purpose purpose, std::int64_t bytes);
  void died(Purpose purpose, std::int64_t bytes);

 private:
  mutable std::mutex mutex_;
  void rise_to(const LiveBytes& bytes);

  LiveBytes live_;
  LiveBytes peak_;
  LiveBytes before_episode_;
  LiveBytes episode_peak_;
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
