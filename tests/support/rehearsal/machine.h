#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

namespace titan::test::rehearsal {

/// A queue of one of the machine's devices. 0 is the default one.
struct StreamId {
  int device = 0;
  int number = 0;
  auto operator<=>(const StreamId&) const = default;
};

/// The end of what a stream had to do at one moment.
struct Moment {
  StreamId stream;
  std::uint64_t position = 0;
  bool is_captured = false;  // it comes with every replay, so nobody can wait for it
};

/// What one rank brings to a collective, and what it is once all have brought theirs.
struct Meeting {
  struct Member {
    bool has_come = false;
    Moment place;  // behind this the stream waits for the others
    std::shared_ptr<void> contribution;
  };
  std::string name;
  std::vector<Member> members;  // by rank of the group
  std::size_t arrived = 0;
  bool is_over = false;
  std::function<void(Meeting&)>
      perform;  // the same of all; called once, when all streams are there
};

/// A tensor on its way from one rank to another.
struct Parcel {
  bool is_posted = false;
  Moment place;                   // behind this the stream of the sender has what it sends
  std::function<void()> pack;     // then takes it from there
  std::shared_ptr<void> content;  // once it is packed
};

/// Devices whose streams do nothing until somebody needs what they do: the host, which waits for a stream or an
/// event; another stream, behind an event; another rank, in a collective. Then exactly what is
/// needed is done, in the thread that needs it. So every result for which nobody has waited is missing when it is
/// used, in every run. Any thread; one computes at a time.
class Machine {
 public:
  static constexpr int kDevices = 4;
  static Machine& instance();

  /// A stream of its own.
  StreamId new_stream(int device);
  void enqueue(StreamId stream, std::function<void()> work);
  Moment now(StreamId stream);
  /// What is enqueued from here on waits for `moment`.
  void order(StreamId stream, Moment moment);
  /// The host waits. Throws what the work threw, or that ranks did not come.
  void synchronize(Moment moment);
  void synchronize(StreamId stream) { synchronize(now(stream)); }
  void synchronize_device(int device);
  /// Whether it is done. Does meanwhile what needs no other rank, so that who asks again and again hears yes.
  bool is_done(Moment moment);

  /// The rank `place` of `size` takes part in the `number`-th collective of a group: its stream goes on when all
  /// ranks have come and `perform` has run.
  void meet(StreamId stream, const std::string& group, std::uint64_t number, std::size_t place,
            std::size_t size, std::shared_ptr<void> contribution,
            std::function<void(Meeting&)> perform);

  /// The `number`-th parcel of a channel between two ranks: `pack` gives its content as soon as `stream` has come to `place`,
  /// whether or not somebody waits for it.
  void post(StreamId stream, Moment place, const std::string& channel, std::uint64_t number,
            std::function<std::shared_ptr<void>()> pack);
  /// The stream waits for it, and unpacks it.
  void take(StreamId stream, const std::string& channel, std::uint64_t number,
            std::function<void(const std::shared_ptr<void>&)> unpack);

  /// From here on what `stream` is given is kept instead of done. Who waits for the stream, or orders it with another, is told so by
  /// an exception. Memory that is allocated for it is of `pool`, and stays so.
  void begin_capture(StreamId stream, int pool);
  /// What was kept, to be done in this order.
  std::vector<std::function<void()>> end_capture(StreamId stream);
  int new_capture_pool() { return ++capture_pools_; }
  /// Of the capture of `stream`; 0 where there is none.
  int capture_pool(StreamId stream) const;

  /// Ends all waits for other ranks, now and later, with this reason.
  void abort(const std::string& reason);
  /// Forgets what was not done, and who waits for whom. No other thread may be at work.
  void reset();

  /// How often the host has waited for a device.
  std::uint64_t synchronizations(int device) const { return synchronizations_[device]; }
  void count_synchronization(int device) { ++synchronizations_[device]; }

  /// Around a time in which device memory may be touched; called with the lock held.
  std::function<void(bool open)> on_access;
  std::chrono::milliseconds patience{std::chrono::seconds(60)};

 private:
  struct Item {
    std::function<void()> work;
    Moment after;  // position 0: nothing
    std::shared_ptr<Meeting> meeting;
    std::shared_ptr<Parcel> parcel;  // to be received
  };
  struct Queue {
    std::deque<Item> items;
    std::uint64_t done = 0;
    std::uint64_t enqueued = 0;
  };
  struct Capture {
    int pool = 0;
    std::vector<std::function<void()>> work;
  };
  using Lock = std::unique_lock<std::mutex>;

  bool run_to(Lock& lock, Moment moment, bool may_wait);
  bool hold(Lock& lock, Meeting& meeting, bool may_wait);
  bool receive(Lock& lock, Parcel& parcel, bool may_wait);
  void await(Lock& lock, const std::function<bool()>& is_there,
             const std::function<std::string()>& what_is_missing);
  std::shared_ptr<Parcel> parcel(const std::string& channel, std::uint64_t number);
  bool wait_for(Lock& lock, Moment moment, bool may_wait);
  void access(bool open);
  void check_not_captured(StreamId stream, const char* what) const;

  mutable std::mutex mutex_;
  std::condition_variable came_;
  std::map<StreamId, Queue> queues_;
  std::map<std::pair<std::string, std::uint64_t>, std::shared_ptr<Meeting>> meetings_;
  std::map<std::pair<std::string, std::uint64_t>, std::shared_ptr<Parcel>> parcels_;
  std::array<int, kDevices> streams_{};
  std::array<std::atomic<std::uint64_t>, kDevices> synchronizations_{};
  std::map<StreamId, Capture> captures_;
  std::atomic<int> capture_pools_ = 0;
  std::string aborted_;
  int open_ = 0;
};

}  // namespace titan::test::rehearsal
