#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "comm/message_memory.h"
#include "comm/shared_memory.h"

namespace titan::comm {

// What lies in shared memory, and its two ends. A lane leads from one member of a group to another.

/// One message: its bytes, or where they are.
struct LaneEntry {
  static constexpr std::size_t kWithin = 88;

  /// Lent: the place is free, and the memory still the receiver's, which its header says.
  enum State : std::uint32_t { kRead, kUnread, kLent };

  std::atomic<State> state;
  std::int32_t tag;
  std::int32_t file;  // of the sender's memory; -1: the bytes are here
  std::int32_t reserved;
  std::uint64_t size;    // of the message
  std::uint64_t memory;  // size of that memory
  std::uint64_t offset;  // of the bytes in it
  std::byte within[kWithin];
};

struct Lane {
  static constexpr std::uint32_t kEntries = 1024;

  alignas(64) std::atomic<std::uint32_t> published;  // how many messages, ever
  alignas(64) LaneEntry entries[kEntries];           // the last of them, in turn
};

/// Of one member: its lanes to all members, by place.
struct Outbox {
  static constexpr std::size_t kMark = 32;

  alignas(64) std::byte mark[kMark];  // at random: that this is the memory that was meant
  std::atomic<std::uint32_t> has_left;

  static std::size_t size_for(std::int64_t members) {
    return sizeof(Outbox) + static_cast<std::size_t>(members) * sizeof(Lane);
  }
  /// To the member at a place. The lanes lie behind this.
  Lane& lane_to(std::int64_t place) { return reinterpret_cast<Lane*>(this + 1)[place]; }
};

/// The sender's end of a lane. One thread at a time.
class LaneSender {
 public:
  explicit LaneSender(Lane& lane) : lane_(&lane) {}

  /// Whether there is a place for one more message.
  bool has_room() const;
  /// Where the bytes lie in `shared`, they stay there until they are read; else they are copied.
  void post(const void* data, std::size_t size, int tag, std::shared_ptr<SharedMemory> shared,
            MessageMemory& memory);
  /// Lets go of the memory of what was read and is not lent any more; done before a place is used again.
  void collect();
  /// What is lent outlives the sender.
  bool all_read() const;
  /// Ends the receiver's sleep.
  void wake() const;

 private:
  struct Sent {
    LaneEntry* entry;
    std::shared_ptr<SharedMemory> memory;
  };

  Lane* lane_;
  std::deque<Sent> sent_;
  std::vector<std::shared_ptr<SharedMemory>> lent_;
};

/// The receiver's end of a lane. Any thread.
class LaneReceiver {
 public:
  LaneReceiver(const OtherProcess& sender, Lane& lane) : sender_(sender), lane_(&lane) {}

  /// A receive's turn among those of a tag.
  std::uint64_t next_turn(int tag);
  std::uint32_t published() const { return lane_->published.load(std::memory_order_acquire); }
  /// Gives the message of this turn to a tensor if it has come: a copy, or to one without memory the message itself. Throws
  /// std::runtime_error when it has another size or cannot be read.
  bool take(int tag, std::uint64_t turn, const at::Tensor& tensor);
  /// Nobody waits for the message of this turn any more.
  void forget(int tag, std::uint64_t turn);
  /// Until something is published beyond `seen`, or a little while is over.
  void sleep(std::uint32_t seen) const;

 private:
  struct Messages {
    std::uint64_t turns = 0;                   // given to receives
    std::uint64_t arrived = 0;                 // messages
    std::uint64_t done = 0;                    // received or forgotten
    std::map<std::uint64_t, LaneEntry*> here;  // by turn
    std::set<std::uint64_t> forgotten;         // turns whose message is still to come
  };

  void sort_in();
  void end_turn(int tag);
  std::shared_ptr<SharedMemory> memory_of(const LaneEntry& entry);

  const OtherProcess& sender_;
  Lane* lane_;
  std::mutex mutex_;
  std::uint32_t sorted_ = 0;  // of the published
  std::map<int, Messages> by_tag_;
  std::map<int, std::shared_ptr<SharedMemory>> memory_;  // the sender's, by its file
};

}  // namespace titan::comm
