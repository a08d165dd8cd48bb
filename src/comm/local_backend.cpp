#include "titan/comm/local_backend.h"

#include <algorithm>
#include <condition_variable>
#include <cstring>
#include <map>
#include <mutex>
#include <tuple>
#include <utility>

#include "comm/local_meeting.h"
#include "titan/base/errors.h"
#include "titan/base/patience.h"

namespace titan::comm {

namespace {

/// A store in this process's memory.
class LocalStore : public Store {
 public:
  void set(const std::string& key, const std::string& value) override {
    const std::lock_guard lock(mutex_);
    values_[key] = value;
    changed_.notify_all();
  }

  std::optional<std::string> find(const std::string& key) override {
    const std::lock_guard lock(mutex_);
    const auto found = values_.find(key);
    return found == values_.end() ? std::nullopt : std::optional(found->second);
  }

  std::string wait(const std::string& key, std::chrono::milliseconds timeout) override {
    std::unique_lock lock(mutex_);
    const auto there = [&] { return values_.count(key) > 0; };
    base::Patience patience(timeout);
    while (!changed_.wait_for(lock, patience.until_next_question(),
                              [&] { return there() || !aborted_.empty(); })) {
      if (!patience.is_over()) continue;
      throw RunError(concat("'", key, "' was not set within ", timeout.count(), " ms"));
    }
    if (!there()) throw RunError(aborted_);
    return values_.at(key);
  }

  std::int64_t add(const std::string& key, std::int64_t amount) override {
    const std::lock_guard lock(mutex_);
    const auto [entry, fresh] = values_.try_emplace(key, "0");
    const std::int64_t sum = std::stoll(entry->second) + amount;
    entry->second = std::to_string(sum);
    changed_.notify_all();
    return sum;
  }

  /// Ends all waits, now and later.
  void abort(const std::string& reason) {
    const std::lock_guard lock(mutex_);
    if (aborted_.empty()) aborted_ = reason;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::string> values_;
  std::string aborted_;
};

}  // namespace

class LocalWorld::Impl {
 public:
  explicit Impl(std::int64_t size) : size_(size) {}

  std::int64_t size() const { return size_; }
  LocalStore& store() { return store_; }

  /// The place where these ranks meet in their `number`-th group of this name; the same object for
  /// all of them.
  std::shared_ptr<LocalMeeting> meeting(const std::string& name,
                                        const std::vector<std::int64_t>& ranks, int number) {
    const std::lock_guard lock(mutex_);
    std::shared_ptr<LocalMeeting>& meeting = meetings_[{name, ranks, number}];
    if (!meeting) meeting = std::make_shared<LocalMeeting>(ranks.size());
    if (!reason_.empty()) meeting->abort(reason_);
    return meeting;
  }

  void abort(const std::string& reason) {
    const std::lock_guard lock(mutex_);
    if (reason_.empty()) reason_ = reason;
    for (const auto& [key, meeting] : meetings_) meeting->abort(reason_);
    store_.abort(reason_);
  }

 private:
  std::int64_t size_;
  LocalStore store_;
  std::mutex mutex_;
  std::map<std::tuple<std::string, std::vector<std::int64_t>, int>, std::shared_ptr<LocalMeeting>>
      meetings_;
  std::string reason_;
};

namespace {

/// Finishes a collective when it is waited for.
class LocalWork : public BackendWork {
 public:
  explicit LocalWork(std::function<void()> finish) : finish_(std::move(finish)) {}
  void wait() override { finish_(); }

 private:
  std::function<void()> finish_;
};

void copy_bytes(const at::Tensor& to, const at::Tensor& from) {
  TITAN_CHECK(to.nbytes() == from.nbytes(), "ranks disagree on the size of a tensor: ", to.nbytes(),
              " and ", from.nbytes(), " bytes");
  if (to.nbytes() == 0) return;
  if (to.is_cpu()) {
    std::memcpy(to.mutable_data_ptr(), from.const_data_ptr(), to.nbytes());
  } else {
    to.view({-1}).copy_(from.view({-1}));
  }
}

void reduce_into(const at::Tensor& result, const at::Tensor& next, ReduceOp op) {
  if (op == ReduceOp::kSum) {
    result.add_(next);
  } else {
    result.copy_(result.maximum(next));
  }
}

/// Row `index` of `count` equal parts of a tensor's elements.
at::Tensor part(const at::Tensor& tensor, std::int64_t index, std::int64_t count) {
  const std::int64_t length = tensor.numel() / count;
  return tensor.reshape(-1).narrow(0, index * length, length);
}

class LocalGroup : public ProcessGroup {
 public:
  LocalGroup(std::string name, std::vector<std::int64_t> ranks, std::int64_t rank,
             CollectiveObserver* observer, std::shared_ptr<LocalMeeting> meeting, at::Device device)
      : ProcessGroup(std::move(name), std::move(ranks), rank, observer),
        meeting_(std::move(meeting)),
        device_(device) {}

  at::Device device() const override { return device_; }

  void set_timeout(std::chrono::milliseconds timeout) override { timeout_ = timeout; }

 protected:
  StartedWork do_all_reduce(const at::Tensor& tensor, ReduceOp op) override {
    return meet(tensor.clone(), [tensor, op](LocalMeeting::Round& round, std::size_t) {
      // Whoever comes first does the work for all.
      std::call_once(round.reduced_once, [&] {
        const at::Tensor result = round.inputs[0].take();
        for (std::size_t i = 1; i < round.inputs.size(); ++i) {
          reduce_into(result, round.inputs[i].take(), op);
        }
        round.reduced = HandedOver(result);
      });
      copy_bytes(tensor, round.reduced.take());
    });
  }

  StartedWork do_all_gather(const at::Tensor& output, const at::Tensor& input) override {
    return meet(input.clone(), [output](LocalMeeting::Round& round, std::size_t) {
      const auto ranks = static_cast<std::int64_t>(round.inputs.size());
      for (std::int64_t i = 0; i < ranks; ++i) {
        copy_bytes(part(output, i, ranks), round.inputs[static_cast<std::size_t>(i)].take());
      }
    });
  }

  StartedWork do_reduce_scatter(const at::Tensor& output, const at::Tensor& input) override {
    return meet(input.clone(), [output](LocalMeeting::Round& round, std::size_t place) {
      const auto ranks = static_cast<std::int64_t>(round.inputs.size());
      const auto mine = static_cast<std::int64_t>(place);
      const at::Tensor sum = output.view(-1);
      copy_bytes(sum, part(round.inputs[0].take(), mine, ranks));
      for (std::size_t i = 1; i < round.inputs.size(); ++i) {
        sum.add_(part(round.inputs[i].take(), mine, ranks));
      }
    });
  }

  StartedWork do_all_to_all(const at::Tensor& output, const at::Tensor& input,
                            const std::vector<std::int64_t>& output_splits,
                            const std::vector<std::int64_t>& input_splits) override {
    auto finish = [output, output_splits](LocalMeeting::Round& round, std::size_t place) {
      std::int64_t row = 0;
      for (std::size_t i = 0; i < round.inputs.size(); ++i) {
        const std::vector<std::int64_t>& theirs = round.splits[i];
        std::int64_t from = 0;
        for (std::size_t r = 0; r < place; ++r) from += theirs[r];
        TITAN_CHECK(theirs[place] == output_splits[i], "all_to_all: rank ", i, " sends ",
                    theirs[place], " rows, ", output_splits[i], " are expected");
        copy_bytes(output.narrow(0, row, output_splits[i]),
                   round.inputs[i].take().narrow(0, from, theirs[place]));
        row += output_splits[i];
      }
    };
    return meet(input.clone(), std::move(finish), input_splits);
  }

  StartedWork do_broadcast(const at::Tensor& tensor, std::int64_t root) override {
    const bool sends = rank() == root;
    auto finish = [tensor, root, sends](LocalMeeting::Round& round, std::size_t) {
      if (!sends) copy_bytes(tensor, round.inputs[static_cast<std::size_t>(root)].take());
    };
    return meet(sends ? tensor.clone() : at::Tensor(), std::move(finish));
  }

  StartedWork do_exchange(const std::vector<Message>& messages) override {
    struct Receive {
      at::Tensor tensor;
      std::size_t from;
      std::uint64_t number;
    };
    const auto mine = static_cast<std::size_t>(rank());
    std::vector<Receive> receives;
    for (const auto& [tensor, peer_rank, direction] : messages) {
      const auto peer = static_cast<std::size_t>(peer_rank);
      if (direction == Message::Direction::kSend) {
        meeting_->post(mine, peer, tensor.clone());
      } else {
        // Places in the queue are taken now, so that exchanges may be waited for in any order.
        receives.push_back({tensor, peer, meeting_->next_receive(peer, mine)});
      }
    }
    return std::make_unique<LocalWork>([this, mine, receives = std::move(receives)] {
      for (const auto& [tensor, from, number] : receives) {
        copy_bytes(tensor, meeting_->take(from, mine, number, timeout_).take());
      }
    });
  }

  StartedWork do_barrier() override {
    return meet(at::Tensor(), [](LocalMeeting::Round&, std::size_t) {});
  }

 private:
  using Finish = std::function<void(LocalMeeting::Round&, std::size_t place)>;

  StartedWork meet(at::Tensor input, Finish finish, std::vector<std::int64_t> splits = {}) {
    const auto place = static_cast<std::size_t>(rank());
    const auto round = meeting_->arrive(next_round_++, place, std::move(input), std::move(splits));
    return std::make_unique<LocalWork>([this, round, place, finish = std::move(finish)] {
      meeting_->wait_for_all(*round, timeout_);
      finish(*round, place);
    });
  }

  std::shared_ptr<LocalMeeting> meeting_;
  at::Device device_;
  std::chrono::milliseconds timeout_{0};
  std::uint64_t next_round_ = 0;
};

class LocalBackend : public Backend {
 public:
  LocalBackend(std::shared_ptr<LocalWorld::Impl> world, std::int64_t rank, at::Device device)
      : world_(std::move(world)), rank_(rank), device_(device) {}

  std::string_view name() const override { return "local"; }
  at::Device device() const override { return device_; }

  std::unique_ptr<ProcessGroup> make_group(const std::string& name,
                                           const std::vector<std::int64_t>& ranks,
                                           std::chrono::milliseconds timeout,
                                           CollectiveObserver* observer) override {
    const auto place = std::ranges::find(ranks, rank_) - ranks.begin();
    const int number = made_[{name, ranks}]++;
    auto group = std::make_unique<LocalGroup>(name, ranks, place, observer,
                                              world_->meeting(name, ranks, number), device_);
    group->set_timeout(timeout);
    return group;
  }

 private:
  std::shared_ptr<LocalWorld::Impl> world_;
  std::int64_t rank_;
  at::Device device_;
  std::map<std::pair<std::string, std::vector<std::int64_t>>, int> made_;
};

}  // namespace

LocalWorld::LocalWorld(std::int64_t size) : impl_(std::make_shared<Impl>(size)) {
  TITAN_CHECK(size > 0, "a world of ", size, " ranks");
}

LocalWorld::~LocalWorld() = default;

std::unique_ptr<Backend> LocalWorld::backend(std::int64_t rank, at::Device device) {
  TITAN_CHECK(rank >= 0 && rank < impl_->size(), "no rank ", rank, " in a world of ",
              impl_->size());
  return std::make_unique<LocalBackend>(impl_, rank, device);
}

Store& LocalWorld::store() { return impl_->store(); }

void LocalWorld::abort(const std::string& reason) { impl_->abort(reason); }

}  // namespace titan::comm
