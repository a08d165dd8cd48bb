#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

namespace titan::comm {

/// Small texts that all ranks of a job can write and read: how ranks find one another and what they
/// say of themselves. Any thread. All throw RunError when the store is gone.
class Store {
 public:
  virtual ~Store() = default;
  virtual void set(const std::string& key, const std::string& value) = 0;
  /// The value, or nothing when the key was never set.
  virtual std::optional<std::string> find(const std::string& key) = 0;
  /// The value, once it is set. Throws RunError after `timeout`.
  virtual std::string wait(const std::string& key, std::chrono::milliseconds timeout) = 0;
  /// Adds to a number that begins at 0 and returns the sum.
  virtual std::int64_t add(const std::string& key, std::int64_t amount) = 0;
};

}  // namespace titan::comm
