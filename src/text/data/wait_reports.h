#pragma once

#include <cstdint>
#include <string>

namespace titan::text {

/// Tells the user when training waits for its data: that the data stalls, while it does, and that it
/// is slow, when waiting took a good part of the last hundred batches.
class WaitReports {
 public:
  /// `name` is the data's in messages; a wait longer than `stall_seconds` is a stall.
  WaitReports(std::string name, double stall_seconds)
      : name_(std::move(name)), stall_seconds_(stall_seconds) {}

  /// Seconds from now after which `still_waiting` wants to be called.
  double seconds_to_next() const;
  /// The consumer has been waiting for `seconds` for one batch.
  void still_waiting(double seconds);
  /// A batch came, `waited` seconds after it was wanted; `now` is a clock.
  void arrived(double waited, double now);

 private:
  std::string name_;
  double stall_seconds_;
  double next_report_ = 0;  // seconds of waiting; 0: none made for this batch
  std::int64_t batches_ = 0;
  double waited_ = 0;
  double since_ = 0;
};

}  // namespace titan::text
