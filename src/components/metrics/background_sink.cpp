#include "components/metrics/background_sink.h"

#include <utility>

namespace titan::components {

namespace {

constexpr std::size_t kMostWaiting = 1000;

}  // namespace

BackgroundSink::BackgroundSink(std::unique_ptr<MetricsSink> sink)
    : sink_(std::move(sink)), thread_([this] { run(); }) {}

BackgroundSink::~BackgroundSink() { finish(); }

void BackgroundSink::offer(Report report) {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return waiting_.size() < kMostWaiting; });
    waiting_.push_back(std::move(report));
  }
  changed_.notify_all();
  rethrow();
}

void BackgroundSink::close() {
  finish();
  sink_->close();  // says what could not be recorded at all, so what was thrown before is no news
}

void BackgroundSink::finish() {
  if (!thread_.joinable()) return;
  {
    const std::lock_guard lock(mutex_);
    finishing_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

void BackgroundSink::rethrow() {
  std::exception_ptr failure;
  {
    const std::lock_guard lock(mutex_);
    failure = std::exchange(failure_, nullptr);
  }
  if (failure) std::rethrow_exception(failure);
}

void BackgroundSink::run() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return finishing_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    const Report report = std::move(waiting_.front());
    waiting_.pop_front();
    lock.unlock();
    changed_.notify_all();
    hand_over(report);
    lock.lock();
  }
}

void BackgroundSink::hand_over(const Report& report) {
  try {
    if (const auto* step = std::get_if<StepReport>(&report)) {
      sink_->log(*step);
    } else {
      sink_->log_validation(std::get<ValidationReport>(report));
    }
  } catch (...) {
    const std::lock_guard lock(mutex_);
    failure_ = std::current_exception();
  }
}

}  // namespace titan::components
