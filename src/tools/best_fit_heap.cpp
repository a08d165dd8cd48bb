#include "titan/tools/best_fit_heap.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <iterator>

namespace titan::tools {

namespace {

/// Where the system has pages of 2 MiB, a mapping gets them.
constexpr std::size_t kLargePage = std::size_t{1} << 21;

std::size_t round_up(std::size_t bytes, std::size_t unit) {
  return (bytes + unit - 1) / unit * unit;
}

void* map(std::size_t bytes) {
  void* const memory =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return nullptr;
  ::madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

}  // namespace

bool BestFitHeap::grow(std::size_t bytes) {
  const std::size_t least = round_up(bytes, kLargePage);
  std::size_t mapped = std::max(least, mapping_bytes_);
  void* memory = map(mapped);
  // The process may have fewer addresses left than that (`ulimit -v`).
  if (memory == nullptr && mapped > least) memory = map(mapped = least);
  if (memory == nullptr) return false;
  add_hole(std::bit_cast<std::size_t>(memory), mapped);
  return true;
}

void BestFitHeap::remove_hole(std::map<std::size_t, std::size_t>::iterator hole) {
  holes_by_size_.erase({hole->second, hole->first});
  holes_.erase(hole);
}

void BestFitHeap::add_hole(std::size_t address, std::size_t bytes) {
  auto after = holes_.lower_bound(address);
  if (after != holes_.begin()) {
    const auto before = std::prev(after);
    if (before->first + before->second == address) {
      address = before->first;
      bytes += before->second;
      remove_hole(before);
    }
  }
  if (after != holes_.end() && address + bytes == after->first) {
    bytes += after->second;
    remove_hole(after);
  }
  holes_.emplace(address, bytes);
  holes_by_size_.emplace(bytes, address);
}

void* BestFitHeap::allocate(std::size_t bytes) {
  // A line more, so that blocks of whole pages do not all begin at the same place of a page: caches take that ill.
  const std::size_t size = round_up(bytes, kAlignment) + kAlignment;
  if (size < bytes) return nullptr;
  const std::lock_guard lock(mutex_);
  auto fit = holes_by_size_.lower_bound({size, 0});
  if (fit == holes_by_size_.end()) {
    if (!grow(size)) return nullptr;
    fit = holes_by_size_.lower_bound({size, 0});
  }
  const auto [hole_bytes, hole] = *fit;
  remove_hole(holes_.find(hole));
  // From its end: the system puts a mapping below the last one, so that what is left of two becomes one.
  const std::size_t block = hole + hole_bytes - size;
  if (hole_bytes > size) add_hole(hole, hole_bytes - size);
  blocks_.emplace(block, size);
  return std::bit_cast<void*>(block);
}

bool BestFitHeap::free(void* block) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(std::bit_cast<std::size_t>(block));
  if (found == blocks_.end()) return false;
  add_hole(found->first, found->second);
  blocks_.erase(found);
  return true;
}

}  // namespace titan::tools
