#pragma once

#include <unistd.h>

#include <cerrno>
#include <utility>

namespace titan::base {

/// An open file, one end of a pipe or any other descriptor of the system, closed with its owner.
class Descriptor {
 public:
  explicit Descriptor(int number = -1) : number_(number) {}
  ~Descriptor() { close(); }
  Descriptor(Descriptor&& other) noexcept : number_(other.release()) {}
  Descriptor& operator=(Descriptor&& other) noexcept {
    std::swap(number_, other.number_);
    return *this;
  }

  int get() const { return number_; }
  bool is_open() const { return number_ != -1; }
  int release() { return std::exchange(number_, -1); }
  /// Returns 0 or an errno. Linux closes the descriptor even when close() is interrupted.
  int close() {
    const int number = release();
    return number == -1 || ::close(number) == 0 || errno == EINTR ? 0 : errno;
  }

 private:
  int number_;
};

}  // namespace titan::base
