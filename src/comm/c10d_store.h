#pragma once

#include <torch/csrc/distributed/c10d/Store.hpp>

#include <memory>
#include <string>

#include "titan/comm/store.h"

namespace titan::comm {

/// Shows a `Store` to c10d's process groups. Keys begin with `prefix`; values may be any bytes.
/// `store` outlives it. What c10d's groups do not use is refused by c10d::Store itself.
class C10dStore : public c10d::Store {
 public:
  C10dStore(comm::Store& store, std::string prefix);

  c10::intrusive_ptr<c10d::Store> clone() override;
  using c10d::Store::set;
  void set(const std::string& key, const std::vector<std::uint8_t>& value) override;
  std::vector<std::uint8_t> get(const std::string& key) override;
  std::int64_t add(const std::string& key, std::int64_t value) override;
  bool check(const std::vector<std::string>& keys) override;
  void wait(const std::vector<std::string>& keys) override;
  void wait(const std::vector<std::string>& keys,
            const std::chrono::milliseconds& timeout) override;
  /// Keeps the key: nothing is ever deleted from a `Store`.
  bool deleteKey(const std::string& key) override;
  std::int64_t getNumKeys() override;

 private:
  comm::Store& store_;
  std::string prefix_;
};

}  // namespace titan::comm
