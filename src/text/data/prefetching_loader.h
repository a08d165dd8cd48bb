#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "text/data/wait_reports.h"
#include "titan/protocols/data_loader.h"

namespace titan::text {

/// Makes the batches of another loader ahead of time, in a thread of its own. Batches and their
/// storage go round: what the consumer hands to `next` is filled again later. An error of the
/// source comes out of the `next` that would have returned its batch, and of every later one until
/// `restore`.
class PrefetchingLoader final : public protocols::DataLoader {
 public:
  /// Keeps up to `depth` batches (at least 1) ready. The thread starts at once. `reports` hears of
  /// all waiting.
  PrefetchingLoader(std::unique_ptr<protocols::DataLoader> source, std::size_t depth,
                    WaitReports reports);
  /// Waits for the batch in the making.
  ~PrefetchingLoader() override;

  bool next(protocols::Batch& batch) override;
  protocols::DataPosition position() const override { return position_; }
  void restart() override;
  void restore(const std::vector<protocols::DataPosition>& ranks) override;
  /// Begins anew, as after `restart`: made for use just before `restore`.
  protocols::DataPosition position_after(std::int64_t rank, std::int64_t ranks,
                                         std::int64_t documents) override;

 private:
  struct Prepared {
    protocols::Batch batch;
    protocols::DataPosition position;
  };

  void start();
  void stop();
  void produce();
  void wait_for_batch(std::unique_lock<std::mutex>& lock);

  std::unique_ptr<protocols::DataLoader> source_;  // the thread's while it runs
  const std::size_t depth_;
  WaitReports reports_;
  protocols::DataPosition position_;  // the consumer's

  std::mutex mutex_;  // guards all below but thread_
  std::condition_variable changed_;
  std::deque<Prepared> ready_;
  std::vector<Prepared> spare_;
  bool stopping_ = false;
  bool finished_ = false;  // the source has no more, or failed
  std::exception_ptr error_;
  std::thread thread_;
};

}  // namespace titan::text
