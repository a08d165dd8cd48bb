#pragma once

#include <cstddef>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <utility>

namespace titan::tools {

/// Large blocks of memory, whose sizes come again and again: a block lies in the smallest hole that takes it, and neighbouring holes
/// are one. So the next step fits into what the last one left. (glibc looks for a hole that is larger than an aligned block by its alignment,
/// so that the hole of a block like it never does.) Nothing is given back to the system. Any thread.
class BestFitHeap {
 public:
  static constexpr std::size_t kAlignment = 64;

  /// Addresses are taken from the system `mapping_bytes` at a time; memory only where a block has been. Outlives its blocks.
  explicit BestFitHeap(std::size_t mapping_bytes = std::size_t{1} << 28)
      : mapping_bytes_(mapping_bytes) {}
  BestFitHeap(const BestFitHeap&) = delete;
  BestFitHeap& operator=(const BestFitHeap&) = delete;

  /// Not zeroed. Null: the system has no more.
  void* allocate(std::size_t bytes);
  /// False, and nothing is done: it is none of the heap's blocks.
  bool free(void* block);

 private:
  using Hole = std::pair<std::size_t, std::size_t>;  // bytes, address

  bool grow(std::size_t bytes);
  void add_hole(std::size_t address, std::size_t bytes);
  void remove_hole(std::map<std::size_t, std::size_t>::iterator hole);

  std::mutex mutex_;
  std::size_t mapping_bytes_;
  std::map<std::size_t, std::size_t> holes_;             // address: bytes
  std::set<Hole> holes_by_size_;                         // the same
  std::unordered_map<std::size_t, std::size_t> blocks_;  // address: bytes
};

}  // namespace titan::tools
