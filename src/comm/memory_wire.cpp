#include "comm/memory_wire.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>
#include <sys/random.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "comm/memory_lane.h"
#include "titan/base/errors.h"
#include "titan/base/patience.h"

namespace titan::comm {

namespace {

using Clock = std::chrono::steady_clock;

/// A rank that waits looks so long before it sleeps: to be woken takes as long. No more, because others may want the core.
constexpr std::chrono::microseconds kLooks(50);
/// How long a group that ends waits for members that have not received all: they are busy, or it has failed.
constexpr std::chrono::seconds kFarewell(2);

/// How others find a member's outbox.
struct Address {
  std::int64_t process;
  std::int64_t file;
  std::byte mark[Outbox::kMark];
};

void pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#else
  std::this_thread::yield();
#endif
}

/// Another member, both ways.
struct Peer {
  Peer(Outbox& own, std::int64_t own_place, std::int64_t place, pid_t id, SharedMemory memory)
      : process(id),
        outbox_memory(std::move(memory)),
        outbox(reinterpret_cast<Outbox*>(outbox_memory.data())),
        sender(own.lane_to(place)),
        receiver(process, outbox->lane_to(own_place)) {}

  bool is_gone() const { return outbox->has_left != 0 || process.has_ended(); }

  OtherProcess process;
  SharedMemory outbox_memory;
  Outbox* outbox;
  LaneSender sender;
  LaneReceiver receiver;
};

class MemoryWire : public Wire {
 public:
  MemoryWire(SharedMemory outbox, std::int64_t place, std::chrono::milliseconds limit)
      : Wire(limit),
        outbox_memory_(std::move(outbox)),
        outbox_(reinterpret_cast<Outbox*>(outbox_memory_.data())),
        place_(place) {}
  ~MemoryWire() override { leave(kFarewell); }

  /// Whether their memory can be seen.
  bool meet(const std::vector<Address>& members) {
    for (const Address& member : members) {
      const auto place = static_cast<std::int64_t>(peers_.size());
      peers_.emplace_back();
      if (place == place_) continue;
      const auto process = static_cast<pid_t>(member.process);
      auto memory = SharedMemory::of_process(process, static_cast<int>(member.file),
                                             Outbox::size_for(std::ssize(members)));
      if (!memory || std::memcmp(reinterpret_cast<Outbox*>(memory->data())->mark, member.mark,
                                 Outbox::kMark) != 0) {
        return false;
      }
      peers_.back() = std::make_unique<Peer>(*outbox_, place_, place, process, std::move(*memory));
    }
    return true;
  }

  std::unique_ptr<BackendWork> send(const at::Tensor& tensor, std::int64_t to, int tag) override {
    Peer& peer = *peers_.at(static_cast<std::size_t>(to));
    const std::lock_guard lock(sending_);
    base::Patience patience(timeout.load());
    while (!peer.sender.has_room()) {
      check(peer, to, peer.is_gone(), patience);
      std::this_thread::sleep_for(std::chrono::milliseconds(1));
    }
    peer.sender.collect();
    peer.sender.post(tensor.const_data_ptr(), tensor.nbytes(), tag, messages_->of(tensor),
                     *messages_);
    return std::make_unique<Done>();
  }

  std::unique_ptr<BackendWork> receive(const at::Tensor& tensor, std::int64_t from,
                                       int tag) override {
    return std::make_unique<Receive>(*this, tensor, from, tag);
  }

  std::shared_ptr<MessageMemory> memory() const override { return messages_; }

  void shut_down() override { leave(timeout.load()); }

 private:
  class Done : public BackendWork {
   public:
    void wait() override {}
  };

  class Receive : public BackendWork {
   public:
    Receive(MemoryWire& wire, at::Tensor tensor, std::int64_t from, int tag)
        : wire_(wire), tensor_(std::move(tensor)), from_(from), tag_(tag) {
      turn_ = receiver().next_turn(tag);
    }
    ~Receive() override {
      if (!is_over_) receiver().forget(tag_, turn_);
    }
    void wait() override {
      if (is_over_) return;
      base::Patience patience(wire_.timeout.load());
      while (true) {
        const std::uint32_t seen = receiver().published();
        if (receiver().take(tag_, turn_, tensor_)) break;
        if (changes_soon(seen)) continue;
        const Peer& peer = *wire_.peers_[static_cast<std::size_t>(from_)];
        // The last that it has sent comes before its end.
        const bool is_gone = peer.is_gone();
        if (receiver().published() != seen) continue;
        wire_.check(peer, from_, is_gone, patience);
        receiver().sleep(seen);
      }
      is_over_ = true;
    }

   private:
    LaneReceiver& receiver() const {
      return wire_.peers_.at(static_cast<std::size_t>(from_))->receiver;
    }
    bool changes_soon(std::uint32_t seen) const {
      const Clock::time_point end = Clock::now() + kLooks;
      while (Clock::now() < end) {
        if (receiver().published() != seen) return true;
        pause();
      }
      return false;
    }

    MemoryWire& wire_;
    at::Tensor tensor_;
    std::int64_t from_;
    int tag_;
    std::uint64_t turn_ = 0;
    bool is_over_ = false;
  };

  /// Throws when there is no use in waiting any longer.
  void check(const Peer& peer, std::int64_t place, bool is_gone, base::Patience& patience) {
    if (is_gone) {
      throw std::runtime_error(concat("member ", place, " of the group ",
                                      peer.process.has_ended() ? "has ended" : "has left it"));
    }
    if (!patience.is_over()) return;
    say_farewell();
    throw std::runtime_error(concat("timed out after ", timeout.load().count(), "ms"));
  }

  void say_farewell() {
    outbox_->has_left = 1;
    for (const auto& peer : peers_) {
      if (peer) peer->sender.wake();
    }
  }

  /// Memory ends with who has made it: those who have not received all from it do so first.
  void leave(Clock::duration limit) {
    say_farewell();
    base::Patience patience(limit);
    const auto is_waited_for = [](const std::unique_ptr<Peer>& peer) {
      return peer && !peer->sender.all_read() && !peer->is_gone();
    };
    while (std::ranges::any_of(peers_, is_waited_for) && !patience.is_over()) {
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  }

  SharedMemory outbox_memory_;
  Outbox* outbox_;
  std::int64_t place_;
  std::vector<std::unique_ptr<Peer>> peers_;  // by place; null: this one
  std::mutex sending_;
  std::shared_ptr<MessageMemory> messages_ = std::make_shared<MessageMemory>();
};

}  // namespace

std::shared_ptr<Wire> make_memory_wire(ProcessGroup& group, std::chrono::milliseconds timeout) {
  auto outbox = SharedMemory::make(Outbox::size_for(group.size()));
  Address own{::getpid(), -1, {}};
  if (outbox) {
    own.file = outbox->file();
    std::byte* const mark = reinterpret_cast<Outbox*>(outbox->data())->mark;
    if (::getrandom(mark, Outbox::kMark, 0) != static_cast<ssize_t>(Outbox::kMark)) own.file = -1;
    std::memcpy(own.mark, mark, Outbox::kMark);
  }
  const auto bytes = static_cast<std::int64_t>(sizeof(Address));
  const at::Tensor sent = at::empty({bytes}, at::kByte);
  std::memcpy(sent.mutable_data_ptr(), &own, sizeof own);
  const at::Tensor received = at::empty({group.size() * bytes}, at::kByte);
  group.all_gather(received, sent).wait();
  std::vector<Address> members(static_cast<std::size_t>(group.size()));
  std::memcpy(members.data(), received.const_data_ptr(), received.nbytes());

  std::shared_ptr<MemoryWire> wire;
  bool all_seen = outbox.has_value();
  if (all_seen) {
    wire = std::make_shared<MemoryWire>(std::move(*outbox), group.rank(), timeout);
    all_seen = wire->meet(members);
  }
  // One that sees the others may not be seen by them.
  const at::Tensor failures = at::full({1}, all_seen ? 0 : 1, at::kInt);
  group.all_reduce(failures).wait();
  return failures.item<int>() == 0 ? wire : nullptr;
}

}  // namespace titan::comm
