#pragma once

#include <c10/core/Device.h>

#include <functional>
#include <memory>

namespace titan::pipeline {

/// Two computations of one rank that take turns. Only one of them runs at a time, and passes the turn to the other where it would
/// wait for what others send; so each computes while the other's rows travel, in an order that is the same in every run and
/// on every rank whose computations pass alike, and nothing that they share needs a lock. On a GPU both queue their kernels on
/// one stream.
class Turns {
 public:
  explicit Turns(at::Device device);
  /// Ends the thread of the second ones.
  ~Turns();
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  /// Runs both, `first` first and on this thread, `second` on one that stays for the next time and is set up as this one is. Returns
  /// when both have ended. Where one throws, the other's next `pass` does, and so does this, with the first exception.
  void run(const std::function<void()>& first, const std::function<void()>& second);

  /// By the one whose turn it is, from its thread or one that works for it: lets the other go on until that one passes or ends. Returns
  /// at once where it has ended, or nothing runs.
  void pass();

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace titan::pipeline
