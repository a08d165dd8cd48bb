#pragma once

#include <cstddef>
#include <deque>
#include <map>
#include <mutex>
#include <set>
#include <tuple>
#include <vector>

#include "support/rehearsal/machine.h"

namespace titan::test::rehearsal {

/// The memory of all devices: pages that nobody may touch but work on a stream while it runs. Whoever else does is
/// told so and ended by SIGSEGV. A block belongs to the stream for which it was allocated: freed, it is
/// given at once to the next who asks for that stream, as a GPU's caching allocator does, and filled with garbage
/// when the stream comes there. What a capture allocates is of a pool of its own, and freed for captures only.
class DeviceMemory {
 public:
  static DeviceMemory& instance();

  void* allocate(StreamId stream, std::size_t bytes);
  void free(void* block);
  /// Another stream uses the block: once freed, it waits for what that stream has to do then.
  void use_on(void* block, StreamId stream);
  bool contains(const void* address) const;
  std::size_t allocated_bytes(int device) const;

 private:
  struct Block {
    StreamId stream;
    int pool = 0;
    std::size_t size = 0;
    std::set<StreamId> other_streams;
  };
  struct Freed {
    void* start = nullptr;
    std::vector<Moment> until;
  };

  DeviceMemory();
  void open(bool readable) const;
  Freed take(StreamId stream, int pool, std::size_t size);

  mutable std::mutex mutex_;
  char* base_ = nullptr;
  std::size_t used_ = 0;
  std::map<void*, Block> blocks_;
  std::map<std::tuple<StreamId, int, std::size_t>, std::deque<Freed>>
      free_;  // by stream, pool and size
};

/// Page-locked memory of the host, which copies may read and write while the host does something else.
class PinnedMemory {
 public:
  static PinnedMemory& instance();
  /// Throws c10::Error as a GPU's does when `fails`.
  void* allocate(std::size_t bytes);
  void free(void* start);
  bool contains(const void* address) const;
  std::size_t allocated_bytes() const;

  bool fails = false;

 private:
  mutable std::mutex mutex_;
  std::map<const char*, std::size_t> blocks_;
};

}  // namespace titan::test::rehearsal
