#include "pipeline/turns.h"

#include <ATen/Parallel.h>
#include <ATen/ThreadLocalState.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <array>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "titan/base/errors.h"

namespace titan::pipeline {

namespace {

/// What a thread needs to compute as another one does.
class Surroundings {
 public:
  explicit Surroundings(at::Device device) : device_(device), threads_(at::get_num_threads()) {
    if (!device_.is_cpu()) stream_ = guard().getStream(device_);
  }

  void enter() const {
    if (at::get_num_threads() != threads_) at::set_num_threads(threads_);
    if (!stream_) return;
    guard().setDevice(device_);
    guard().exchangeStream(*stream_);
  }
  const at::ThreadLocalState& state() const { return state_; }

 private:
  c10::impl::VirtualGuardImpl guard() const { return c10::impl::VirtualGuardImpl(device_.type()); }

  at::Device device_;
  int threads_;
  std::optional<c10::Stream> stream_;
  at::ThreadLocalState state_;
};

}  // namespace

class Turns::Impl {
 public:
  explicit Impl(at::Device device) : device_(device) {}

  ~Impl() {
    {
      const std::lock_guard lock(mutex_);
      stops_ = true;
    }
    changed_.notify_all();
    if (thread_.joinable()) thread_.join();
  }

  void run(const std::function<void()>& first, const std::function<void()>& second) {
    {
      const std::lock_guard lock(mutex_);
      turn_ = kFirst;
      ended_ = {false, false};
      failure_ = nullptr;
      second_ = &second;
      surroundings_.emplace(device_);
      if (!thread_.joinable()) thread_ = std::thread([this] { run_second_ones(); });
    }
    perform(kFirst, first);
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return ended_[kSecond]; });
    if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  }

  void pass() {
    std::unique_lock lock(mutex_);
    const Side mine = turn_;
    if (!ended_[other(mine)]) {
      turn_ = other(mine);
      changed_.notify_all();
      changed_.wait(lock, [&] { return turn_ == mine; });
    }
    if (failure_) throw RunError("given up, because what took turns with it has failed");
  }

 private:
  enum Side : std::size_t { kFirst, kSecond };

  static Side other(Side side) { return side == kFirst ? kSecond : kFirst; }

  void perform(Side side, const std::function<void()>& body) {
    std::exception_ptr failure;
    try {
      body();
    } catch (...) {
      failure = std::current_exception();
    }
    const std::lock_guard lock(mutex_);
    if (failure && !failure_) failure_ = failure;
    ended_[side] = true;
    turn_ = other(side);
    changed_.notify_all();
  }

  void run_second_ones() {
    for (;;) {
      const std::function<void()>* body = nullptr;
      {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return stops_ || (!ended_[kSecond] && turn_ == kSecond); });
        if (stops_) return;
        if (!failure_) body = second_;
      }
      perform(kSecond, [&] {
        if (body == nullptr) return;
        surroundings_->enter();
        const at::ThreadLocalStateGuard as_there(surroundings_->state());
        (*body)();
      });
    }
  }

  const at::Device device_;
  std::mutex mutex_;
  std::condition_variable changed_;
  Side turn_ = kFirst;
  std::array<bool, 2> ended_ = {true, true};
  std::exception_ptr failure_;
  const std::function<void()>* second_ = nullptr;
  std::optional<Surroundings> surroundings_;  // of the first
  bool stops_ = false;
  std::thread thread_;
};

Turns::Turns(at::Device device) : impl_(std::make_unique<Impl>(device)) {}
Turns::~Turns() = default;

void Turns::run(const std::function<void()>& first, const std::function<void()>& second) {
  impl_->run(first, second);
}

void Turns::pass() { impl_->pass(); }

}  // namespace titan::pipeline
