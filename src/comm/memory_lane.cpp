#include "comm/memory_lane.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <climits>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <utility>

#include "titan/base/errors.h"

namespace titan::comm {

namespace {

constexpr std::size_t kSmallest = 4096;
/// Between two looks whether the sender is still there.
constexpr long kLookNanoseconds = 50'000'000;

long futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
           const timespec* limit) {
  return ::syscall(SYS_futex, &word, operation, value, limit, nullptr, 0);
}

}  // namespace

std::unique_ptr<SharedMemory> MessageMemory::take(std::size_t bytes) {
  // Powers of two, so that messages of any sizes, as those to experts are, use few. Pages that nobody writes to are not there.
  const std::size_t size = std::bit_ceil(std::max(bytes, kSmallest));
  if (const auto fits = free_.find(size); fits != free_.end()) {
    auto memory = std::move(fits->second);
    free_.erase(fits);
    return memory;
  }
  auto memory = SharedMemory::make(size);
  if (!memory) {
    throw std::runtime_error(concat("no memory for a message of ", bytes,
                                    " bytes to processes of this machine: ", std::strerror(errno),
                                    errno == EMFILE ? " (ulimit -n)" : ""));
  }
  return std::make_unique<SharedMemory>(std::move(*memory));
}

void MessageMemory::give_back(std::unique_ptr<SharedMemory> memory) {
  const std::size_t size = memory->size();
  free_.emplace(size, std::move(memory));
}

bool LaneSender::has_room() const {
  const std::uint32_t next = lane_->published.load(std::memory_order_relaxed);
  return lane_->entries[next % Lane::kEntries].is_unread.load(std::memory_order_acquire) == 0;
}

void LaneSender::post(const void* data, std::size_t size, int tag, MessageMemory& memory) {
  const std::uint32_t next = lane_->published.load(std::memory_order_relaxed);
  LaneEntry& entry = lane_->entries[next % Lane::kEntries];
  entry.tag = tag;
  entry.size = size;
  entry.file = -1;
  Sent sent{&entry, nullptr};
  std::byte* to = entry.within;
  if (size > LaneEntry::kWithin) {
    sent.memory = memory.take(size);
    entry.file = sent.memory->file();
    entry.memory = sent.memory->size();
    to = sent.memory->data();
  }
  std::memcpy(to, data, size);
  entry.is_unread.store(1, std::memory_order_relaxed);
  sent_.push_back(std::move(sent));
  lane_->published.store(next + 1, std::memory_order_release);
  wake();
}

void LaneSender::collect(MessageMemory& memory) {
  std::erase_if(sent_, [&](Sent& sent) {
    if (sent.entry->is_unread.load(std::memory_order_acquire) != 0) return false;
    if (sent.memory) memory.give_back(std::move(sent.memory));
    return true;
  });
}

bool LaneSender::all_read() const {
  for (const Sent& sent : sent_) {
    if (sent.entry->is_unread.load(std::memory_order_acquire) != 0) return false;
  }
  return true;
}

void LaneSender::wake() const { futex(lane_->published, FUTEX_WAKE, INT_MAX, nullptr); }

std::uint64_t LaneReceiver::next_turn(int tag) {
  const std::lock_guard lock(mutex_);
  return by_tag_[tag].turns++;
}

/// Puts what has been published since into its place. What is of a turn that was forgotten is read.
void LaneReceiver::sort_in() {
  for (const std::uint32_t end = published(); sorted_ != end; ++sorted_) {
    LaneEntry& entry = lane_->entries[sorted_ % Lane::kEntries];
    Messages& messages = by_tag_[entry.tag];
    const std::uint64_t turn = messages.arrived++;
    if (messages.forgotten.erase(turn) > 0) {
      end_turn(entry.tag);
      entry.is_unread.store(0, std::memory_order_release);
    } else {
      messages.here[turn] = &entry;
    }
  }
}

bool LaneReceiver::take(int tag, std::uint64_t turn, void* data, std::size_t size) {
  const std::byte* from = nullptr;
  LaneEntry* entry = nullptr;
  {
    const std::lock_guard lock(mutex_);
    sort_in();
    Messages& messages = by_tag_[tag];
    const auto found = messages.here.find(turn);
    if (found == messages.here.end()) return false;
    entry = found->second;
    if (entry->size != size) {
      throw std::runtime_error(concat("a message of ", entry->size, " bytes, and not of ", size));
    }
    from = bytes_of(*entry);
    messages.here.erase(found);
    end_turn(tag);
  }
  std::memcpy(data, from, size);
  entry->is_unread.store(0, std::memory_order_release);
  return true;
}

void LaneReceiver::forget(int tag, std::uint64_t turn) {
  const std::lock_guard lock(mutex_);
  sort_in();
  Messages& messages = by_tag_[tag];
  const auto found = messages.here.find(turn);
  if (found == messages.here.end()) {
    messages.forgotten.insert(turn);
    return;
  }
  found->second->is_unread.store(0, std::memory_order_release);
  messages.here.erase(found);
  end_turn(tag);
}

/// Collectives have a tag of their own each: one that is through is not kept in mind.
void LaneReceiver::end_turn(int tag) {
  Messages& messages = by_tag_[tag];
  if (++messages.done == messages.turns && messages.arrived == messages.turns) by_tag_.erase(tag);
}

const std::byte* LaneReceiver::bytes_of(const LaneEntry& entry) {
  if (entry.file < 0) return entry.within;
  const auto known = memory_.find(entry.file);
  if (known != memory_.end()) return known->second.data();
  auto memory = SharedMemory::of_process(sender_.id(), entry.file, entry.memory);
  if (!memory) throw std::runtime_error("the memory of a message is gone, and its sender with it");
  return memory_.emplace(entry.file, std::move(*memory)).first->second.data();
}

void LaneReceiver::sleep(std::uint32_t seen) const {
  const timespec limit{0, kLookNanoseconds};
  futex(lane_->published, FUTEX_WAIT, seen, &limit);
}

}  // namespace titan::comm
