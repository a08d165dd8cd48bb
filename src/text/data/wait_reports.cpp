#include "text/data/wait_reports.h"

#include <cmath>

#include "titan/tools/logging.h"

namespace titan::text {
namespace {

constexpr std::int64_t kBatchesPerReport = 100;
constexpr double kSlowShare = 0.1;
constexpr double kSlowSeconds = 1;

}  // namespace

double WaitReports::seconds_to_next() const {
  return next_report_ > 0 ? next_report_ / 2 : stall_seconds_;
}

void WaitReports::still_waiting(double seconds) {
  tools::log_warning("The data stalls: for ", std::lround(seconds), " s there was no batch from ",
                     name_, ". Training waits for it.");
  next_report_ = 2 * seconds;
}

void WaitReports::arrived(double waited, double now) {
  if (next_report_ > 0) {
    tools::log_warning("The data goes on after a stall of ", std::lround(waited), " s");
    next_report_ = 0;
  }
  if (batches_ == 0) since_ = now - waited;
  waited_ += waited;
  if (++batches_ < kBatchesPerReport) return;
  const double share = waited_ / (now - since_);
  if (share > kSlowShare && waited_ > kSlowSeconds) {
    tools::log_warning("The data is slow: waiting for ", name_, " took ", std::lround(100 * share),
                       " % of the time of the last ", batches_, " batches");
  }
  batches_ = 0;
  waited_ = 0;
}

}  // namespace titan::text
