#include "comm/c10d_store.h"

#include <algorithm>
#include <utility>

#include "titan/base/errors.h"

namespace titan::comm {

C10dStore::C10dStore(comm::Store& store, std::string prefix)
    : store_(store), prefix_(std::move(prefix)) {}

c10::intrusive_ptr<c10d::Store> C10dStore::clone() {
  return c10::make_intrusive<C10dStore>(store_, prefix_);
}

void C10dStore::set(const std::string& key, const std::vector<std::uint8_t>& value) {
  store_.set(prefix_ + key, std::string(value.begin(), value.end()));
}

std::vector<std::uint8_t> C10dStore::get(const std::string& key) {
  const std::string value = store_.wait(prefix_ + key, getTimeout());
  return {value.begin(), value.end()};
}

std::int64_t C10dStore::add(const std::string& key, std::int64_t value) {
  return store_.add(prefix_ + key, value);
}

bool C10dStore::check(const std::vector<std::string>& keys) {
  return std::ranges::all_of(
      keys, [&](const std::string& key) { return store_.find(prefix_ + key).has_value(); });
}

void C10dStore::wait(const std::vector<std::string>& keys) { wait(keys, getTimeout()); }

void C10dStore::wait(const std::vector<std::string>& keys,
                     const std::chrono::milliseconds& timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  for (const std::string& key : keys) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    store_.wait(prefix_ + key, std::max(left, std::chrono::milliseconds(0)));
  }
}

bool C10dStore::deleteKey(const std::string&) { return false; }

std::int64_t C10dStore::getNumKeys() { throw InternalError("a store does not count its keys"); }

}  // namespace titan::comm
