#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <thread>

#include "titan/base/patience.h"

namespace titan::comm {

/// Ends waits that last too long, in time during which this process ran: back ends count the time in
/// which a whole job was suspended, too. Has a thread. Any thread may use it.
class WaitLimits {
  struct Wait {
    base::Patience patience;
    std::function<void()> give_up;
  };

 public:
  WaitLimits();
  ~WaitLimits();

  /// While it lives, its wait is limited.
  class Guard {
   public:
    ~Guard();
    Guard(const Guard&) = delete;
    Guard& operator=(const Guard&) = delete;

   private:
    friend class WaitLimits;
    Guard(WaitLimits& limits, std::list<Wait>::iterator wait) : limits_(limits), wait_(wait) {}

    WaitLimits& limits_;
    std::list<Wait>::iterator wait_;
  };

  /// Calls `give_up` once, from another thread, when the limit is over, up to a fifth of a second
  /// later. It must not block.
  Guard guard(std::chrono::milliseconds limit, std::function<void()> give_up);

 private:
  void loop();

  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Wait> waits_;
  bool stopping_ = false;
  std::thread thread_;
};

}  // namespace titan::comm
