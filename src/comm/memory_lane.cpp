#include "comm/memory_lane.h"

#include <linux/futex.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <climits>
#include <cstring>
#include <ctime>
#include <stdexcept>
#include <utility>

#include "titan/base/errors.h"

namespace titan::comm {

namespace {

/// Between two looks whether the sender is still there.
constexpr long kLookNanoseconds = 50'000'000;

long futex(std::atomic<std::uint32_t>& word, int operation, std::uint32_t value,
           const timespec* limit) {
  return ::syscall(SYS_futex, &word, operation, value, limit, nullptr, 0);
}

}  // namespace

bool LaneSender::has_room() const {
  const std::uint32_t next = lane_->published.load(std::memory_order_relaxed);
  return lane_->entries[next % Lane::kEntries].state.load(std::memory_order_acquire) !=
         LaneEntry::kUnread;
}

void LaneSender::post(const void* data, std::size_t size, int tag,
                      std::shared_ptr<SharedMemory> shared, MessageMemory& memory) {
  const std::uint32_t next = lane_->published.load(std::memory_order_relaxed);
  LaneEntry& entry = lane_->entries[next % Lane::kEntries];
  entry.tag = tag;
  entry.size = size;
  entry.file = -1;
  if (size <= LaneEntry::kWithin) {
    std::memcpy(entry.within, data, size);
    shared = nullptr;
  } else if (shared) {
    entry.offset = static_cast<std::size_t>(static_cast<const std::byte*>(data) - shared->data());
  } else {
    shared = memory.take(size);
    entry.offset = MessageMemory::kHeader;
    std::memcpy(shared->data() + entry.offset, data, size);
  }
  if (shared) {
    entry.file = shared->file();
    entry.memory = shared->size();
  }
  entry.state.store(LaneEntry::kUnread, std::memory_order_relaxed);
  sent_.push_back({&entry, std::move(shared)});
  lane_->published.store(next + 1, std::memory_order_release);
  wake();
}

void LaneSender::collect() {
  std::erase_if(sent_, [this](Sent& sent) {
    const LaneEntry::State state = sent.entry->state.load(std::memory_order_acquire);
    if (state == LaneEntry::kLent) lent_.push_back(std::move(sent.memory));
    return state != LaneEntry::kUnread;
  });
  std::erase_if(lent_, [](const auto& memory) { return !MessageMemory::is_lent(*memory); });
}

bool LaneSender::all_read() const {
  return std::ranges::none_of(sent_, [](const Sent& sent) {
    return sent.entry->state.load(std::memory_order_acquire) == LaneEntry::kUnread;
  });
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
      entry.state.store(LaneEntry::kRead, std::memory_order_release);
    } else {
      messages.here[turn] = &entry;
    }
  }
}

bool LaneReceiver::take(int tag, std::uint64_t turn, const at::Tensor& tensor) {
  std::shared_ptr<SharedMemory> memory;
  LaneEntry* entry = nullptr;
  {
    const std::lock_guard lock(mutex_);
    sort_in();
    Messages& messages = by_tag_[tag];
    const auto found = messages.here.find(turn);
    if (found == messages.here.end()) return false;
    entry = found->second;
    if (entry->size != tensor.nbytes()) {
      throw std::runtime_error(
          concat("a message of ", entry->size, " bytes, and not of ", tensor.nbytes()));
    }
    memory = memory_of(*entry);
    messages.here.erase(found);
    end_turn(tag);
  }
  const std::byte* const from = memory ? memory->data() + entry->offset : entry->within;
  if (memory && is_without_memory(tensor)) {
    // The place in the lane is not kept: a tensor may stay while more messages come than a lane has places.
    lay_at(tensor, from, MessageMemory::borrow(memory));
    entry->state.store(LaneEntry::kLent, std::memory_order_release);
    return true;
  }
  void* const to = is_without_memory(tensor) ? allocate(tensor) : tensor.mutable_data_ptr();
  std::memcpy(to, from, tensor.nbytes());
  entry->state.store(LaneEntry::kRead, std::memory_order_release);
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
  found->second->state.store(LaneEntry::kRead, std::memory_order_release);
  messages.here.erase(found);
  end_turn(tag);
}

/// Collectives have a tag of their own each: one that is through is not kept in mind.
void LaneReceiver::end_turn(int tag) {
  Messages& messages = by_tag_[tag];
  if (++messages.done == messages.turns && messages.arrived == messages.turns) by_tag_.erase(tag);
}

/// Null: the bytes are in the entry.
std::shared_ptr<SharedMemory> LaneReceiver::memory_of(const LaneEntry& entry) {
  if (entry.file < 0) return nullptr;
  const auto known = memory_.find(entry.file);
  if (known != memory_.end()) return known->second;
  auto memory = SharedMemory::of_process(sender_.id(), entry.file, entry.memory);
  if (!memory) throw std::runtime_error("the memory of a message is gone, and its sender with it");
  return memory_.emplace(entry.file, std::make_shared<SharedMemory>(std::move(*memory)))
      .first->second;
}

void LaneReceiver::sleep(std::uint32_t seen) const {
  const timespec limit{0, kLookNanoseconds};
  futex(lane_->published, FUTEX_WAIT, seen, &limit);
}

}  // namespace titan::comm
