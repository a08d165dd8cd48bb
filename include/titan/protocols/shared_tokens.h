#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace titan::protocols {

/// Tokens that do not change. Copies hold them in common, and so does what `without_first` leaves: the
/// positions of batches made ahead each say what is left of one long document, and hold it once.
class SharedTokens {
 public:
  using value_type = std::int64_t;
  using const_iterator = const std::int64_t*;
  using iterator = const_iterator;

  SharedTokens() = default;
  SharedTokens(std::vector<std::int64_t> tokens)
      : all_(std::make_shared<const std::vector<std::int64_t>>(std::move(tokens))) {}
  SharedTokens(std::initializer_list<std::int64_t> tokens)
      : SharedTokens(std::vector<std::int64_t>(tokens)) {}

  const_iterator begin() const { return all_ ? all_->data() + first_ : nullptr; }
  const_iterator end() const { return all_ ? all_->data() + all_->size() : nullptr; }
  std::size_t size() const { return all_ ? all_->size() - first_ : 0; }
  bool empty() const { return size() == 0; }

  /// The tokens behind the first `count`, of which there must be so many.
  SharedTokens without_first(std::size_t count) const {
    SharedTokens rest = *this;
    rest.first_ += count;
    return rest;
  }

  friend bool operator==(const SharedTokens& a, const SharedTokens& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }

 private:
  std::shared_ptr<const std::vector<std::int64_t>> all_;
  std::size_t first_ = 0;
};

}  // namespace titan::protocols
