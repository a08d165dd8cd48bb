#include "support/rehearsal/memory.h"

#include <c10/util/Exception.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "titan/base/errors.h"

namespace titan::test::rehearsal {

namespace {

constexpr std::size_t kBytes = std::size_t{1} << 30;
constexpr int kGarbage = 0x7f;  // 3.4e38 as fp32 and as bf16
/// Of every block, so that there are few sizes to keep apart.
constexpr std::size_t kSmallest = 64;

struct sigaction before;  // the handler that ours stands in front of

void on_fault(int number, siginfo_t* info, void* context) {
  if (DeviceMemory::instance().contains(info->si_addr)) {
    constexpr char kText[] = "The host has touched the memory of a device.\n";
    static_cast<void>(!write(STDERR_FILENO, kText, sizeof(kText) - 1));
  }
  if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
    return before.sa_sigaction(number, info, context);
  }
  signal(number, SIG_DFL);  // what has failed is tried again, and ends the process
}

}  // namespace

DeviceMemory& DeviceMemory::instance() {
  static auto* memory = new DeviceMemory();
  return *memory;
}

DeviceMemory::DeviceMemory() {
  void* pages =
      mmap(nullptr, kBytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  TITAN_CHECK(pages != MAP_FAILED, "no addresses for the rehearsal device's memory");
  base_ = static_cast<char*>(pages);
  Machine::instance().on_access = [this](bool readable) { open(readable); };
  struct sigaction action = {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO;
  sigaction(SIGSEGV, &action, &before);
}

/// Called with the machine locked: takes no lock of its own.
void DeviceMemory::open(bool readable) const {
  const int status = mprotect(base_, kBytes, readable ? PROT_READ | PROT_WRITE : PROT_NONE);
  TITAN_CHECK(status == 0, "cannot protect the rehearsal device's memory");
}

DeviceMemory::Freed DeviceMemory::take(StreamId stream, int pool, std::size_t size) {
  const std::lock_guard lock(mutex_);
  Freed result;
  std::deque<Freed>& freed = free_[{stream, pool, size}];
  if (!freed.empty()) {
    result = std::move(freed.front());
    freed.pop_front();
  } else {
    result.start = base_ + used_;
    used_ += size;
    TITAN_CHECK(used_ <= kBytes, "the rehearsal device is out of memory");
  }
  blocks_[result.start] = {stream, pool, size, {}};
  return result;
}

void* DeviceMemory::allocate(StreamId stream, std::size_t bytes) {
  if (bytes == 0) return nullptr;
  const std::size_t size = std::bit_ceil(std::max(bytes, kSmallest));
  Machine& machine = Machine::instance();
  const Freed block = take(stream, machine.capture_pool(stream), size);
  for (const Moment& moment : block.until) machine.order(stream, moment);
  machine.enqueue(stream, [start = block.start, size] { std::memset(start, kGarbage, size); });
  return block.start;
}

void DeviceMemory::free(void* start) {
  if (start == nullptr) return;
  Block block;
  {
    const std::lock_guard lock(mutex_);
    block = std::move(blocks_.extract(start).mapped());
  }
  Freed freed{start, {}};
  for (const StreamId& other : block.other_streams) {
    freed.until.push_back(Machine::instance().now(other));
  }
  const std::lock_guard lock(mutex_);
  free_[{block.stream, block.pool, block.size}].push_back(std::move(freed));
}

void DeviceMemory::use_on(void* block, StreamId stream) {
  const std::lock_guard lock(mutex_);
  const auto found = blocks_.find(block);
  if (found != blocks_.end() && found->second.stream != stream) {
    found->second.other_streams.insert(stream);
  }
}

bool DeviceMemory::contains(const void* address) const {
  return address >= base_ && address < base_ + kBytes;
}

std::size_t DeviceMemory::allocated_bytes(int device) const {
  const std::lock_guard lock(mutex_);
  std::size_t sum = 0;
  for (const auto& [start, block] : blocks_) sum += block.stream.device == device ? block.size : 0;
  return sum;
}

PinnedMemory& PinnedMemory::instance() {
  static auto* memory = new PinnedMemory();
  return *memory;
}

void* PinnedMemory::allocate(std::size_t bytes) {
  TORCH_CHECK(!fails, "CUDA error: out of memory (as the rehearsal device was told to say)");
  if (bytes == 0) return nullptr;
  void* start = std::aligned_alloc(kSmallest, (bytes + kSmallest - 1) / kSmallest * kSmallest);
  const std::lock_guard lock(mutex_);
  blocks_[static_cast<const char*>(start)] = bytes;
  return start;
}

void PinnedMemory::free(void* start) {
  if (start == nullptr) return;
  {
    const std::lock_guard lock(mutex_);
    blocks_.erase(static_cast<const char*>(start));
  }
  std::free(start);
}

bool PinnedMemory::contains(const void* address) const {
  const std::lock_guard lock(mutex_);
  const auto* byte = static_cast<const char*>(address);
  auto block = blocks_.upper_bound(byte);
  if (block == blocks_.begin()) return false;
  --block;
  return byte < block->first + block->second;
}

std::size_t PinnedMemory::allocated_bytes() const {
  const std::lock_guard lock(mutex_);
  std::size_t sum = 0;
  for (const auto& [start, size] : blocks_) sum += size;
  return sum;
}

}  // namespace titan::test::rehearsal
