#include "comm/finishing_thread.h"

#include <c10/util/thread_name.h>

#include <utility>

namespace titan::comm {

namespace {

class FinishWork : public BackendWork {
 public:
  explicit FinishWork(std::shared_ptr<Finish> finish) : finish_(std::move(finish)) {}
  void wait() override {
    finish_->run();
    finish_->wait();
  }

 private:
  std::shared_ptr<Finish> finish_;
};

}  // namespace

void Finish::run() noexcept {
  {
    const std::lock_guard lock(mutex_);
    if (state_ != State::kNew) return;
    state_ = State::kRunning;
  }
  std::exception_ptr error;
  try {
    action_();
  } catch (...) {
    error = std::current_exception();
  }
  action_ = nullptr;  // lets go of tensors and buffers
  const std::lock_guard lock(mutex_);
  error_ = std::move(error);
  state_ = State::kDone;
  done_.notify_all();
}

void Finish::wait() {
  std::unique_lock lock(mutex_);
  done_.wait(lock, [&] { return state_ == State::kDone; });
  if (error_) std::rethrow_exception(error_);
}

FinishingThread::~FinishingThread() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
    changed_.notify_all();
  }
  if (thread_.joinable()) thread_.join();
}

std::unique_ptr<BackendWork> FinishingThread::add(std::function<void()> action) {
  auto finish = std::make_shared<Finish>(std::move(action));
  const std::lock_guard lock(mutex_);
  queue_.push_back(finish);
  if (!thread_.joinable()) thread_ = std::thread([this] { loop(); });
  changed_.notify_all();
  return std::make_unique<FinishWork>(std::move(finish));
}

void FinishingThread::loop() {
  c10::setThreadName("titan_finish");
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return stopping_ || !queue_.empty(); });
    if (stopping_) return;
    const std::shared_ptr<Finish> next = std::move(queue_.front());
    queue_.pop_front();
    lock.unlock();
    next->run();
    lock.lock();
  }
}

}  // namespace titan::comm
