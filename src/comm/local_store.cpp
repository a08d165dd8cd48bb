#include "comm/local_store.h"

#include <string>

#include "titan/base/errors.h"

namespace titan::comm {

void LocalStore::set(const std::string& key, const std::string& value) {
  const std::lock_guard lock(mutex_);
  values_[key] = value;
  changed_.notify_all();
}

std::optional<std::string> LocalStore::find(const std::string& key) {
  const std::lock_guard lock(mutex_);
  const auto found = values_.find(key);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

std::string LocalStore::wait(const std::string& key, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  const auto there = [&] { return values_.count(key) > 0; };
  changed_.wait_for(lock, timeout, [&] { return there() || !aborted_.empty(); });
  if (there()) return values_.at(key);
  if (!aborted_.empty()) throw RunError(aborted_);
  throw RunError(concat("'", key, "' was not set within ", timeout.count(), " ms"));
}

std::int64_t LocalStore::add(const std::string& key, std::int64_t amount) {
  const std::lock_guard lock(mutex_);
  const auto [entry, fresh] = values_.try_emplace(key, "0");
  const std::int64_t sum = std::stoll(entry->second) + amount;
  entry->second = std::to_string(sum);
  changed_.notify_all();
  return sum;
}

void LocalStore::abort(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (aborted_.empty()) aborted_ = reason;
  changed_.notify_all();
}

}  // namespace titan::comm
