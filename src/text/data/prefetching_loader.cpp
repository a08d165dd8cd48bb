#include "text/data/prefetching_loader.h"

#include <chrono>
#include <utility>

#include "titan/base/clock.h"
#include "titan/base/errors.h"

namespace titan::text {

PrefetchingLoader::PrefetchingLoader(std::unique_ptr<protocols::DataLoader> source,
                                     std::size_t depth, WaitReports reports)
    : source_(std::move(source)),
      depth_(depth),
      reports_(std::move(reports)),
      position_(source_->position()) {
  TITAN_CHECK(depth_ > 0, "a prefetching loader keeps at least one batch");
  start();
}

PrefetchingLoader::~PrefetchingLoader() { stop(); }

bool PrefetchingLoader::next(protocols::Batch& batch) {
  std::unique_lock lock(mutex_);
  wait_for_batch(lock);
  if (ready_.empty()) {
    if (error_) std::rethrow_exception(error_);
    batch.rows = 0;
    batch.input.clear();
    batch.labels.clear();
    batch.document_starts.clear();
    return false;
  }
  Prepared prepared = std::move(ready_.front());
  ready_.pop_front();
  std::swap(batch, prepared.batch);
  position_ = std::move(prepared.position);
  prepared.position = {};  // holds the tokens of a document
  spare_.push_back(std::move(prepared));
  lock.unlock();
  changed_.notify_all();
  return true;
}

void PrefetchingLoader::wait_for_batch(std::unique_lock<std::mutex>& lock) {
  const double start = base::monotonic_seconds();
  const auto is_ready = [&] { return !ready_.empty() || finished_; };
  const auto patience = [&] { return std::chrono::duration<double>(reports_.seconds_to_next()); };
  while (!changed_.wait_for(lock, patience(), is_ready)) {
    reports_.still_waiting(base::monotonic_seconds() - start);
  }
  const double now = base::monotonic_seconds();
  reports_.arrived(now - start, now);
}

void PrefetchingLoader::restart() {
  stop();
  source_->restart();
  position_ = source_->position();
  start();
}

void PrefetchingLoader::restore(const std::vector<protocols::DataPosition>& ranks) {
  stop();
  source_->restore(ranks);
  position_ = source_->position();
  start();
}

protocols::DataPosition PrefetchingLoader::position_after(std::int64_t rank, std::int64_t ranks,
                                                          std::int64_t documents) {
  stop();
  protocols::DataPosition position = source_->position_after(rank, ranks, documents);
  source_->restart();
  position_ = source_->position();
  start();
  return position;
}

void PrefetchingLoader::start() {
  stopping_ = false;
  finished_ = false;
  error_ = nullptr;
  thread_ = std::thread([this] { produce(); });
}

void PrefetchingLoader::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  changed_.notify_all();
  if (thread_.joinable()) thread_.join();
  ready_.clear();
}

void PrefetchingLoader::produce() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stopping_ || ready_.size() < depth_; });
    if (stopping_) return;
    Prepared prepared;
    if (!spare_.empty()) {
      prepared = std::move(spare_.back());
      spare_.pop_back();
    }
    lock.unlock();
    bool has_batch = false;
    std::exception_ptr error;
    try {
      has_batch = source_->next(prepared.batch);
      if (has_batch) prepared.position = source_->position();
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (has_batch) {
      ready_.push_back(std::move(prepared));
    } else {
      finished_ = true;
      error_ = error;
    }
    changed_.notify_all();
    if (finished_) return;
  }
}

}  // namespace titan::text
