#pragma once

#include <condition_variable>
#include <map>
#include <mutex>

#include "titan/comm/store.h"

namespace titan::comm {

/// A store in this process's memory.
class LocalStore : public Store {
 public:
  void set(const std::string& key, const std::string& value) override;
  std::optional<std::string> find(const std::string& key) override;
  std::string wait(const std::string& key, std::chrono::milliseconds timeout) override;
  std::int64_t add(const std::string& key, std::int64_t amount) override;

  /// Ends all waits, now and later.
  void abort(const std::string& reason);

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::map<std::string, std::string> values_;
  std::string aborted_;
};

}  // namespace titan::comm
