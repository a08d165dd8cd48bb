#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "titan/formats/pickle/pickle.h"

namespace titan::formats {

/// A value and the way to it from the root, which is spelled out in errors only. Places lie on the
/// stack, each pointing at the one around it.
class PicklePlace {
 public:
  PicklePlace(const PickleValue& value, std::string_view name) : value_(value), name_(name) {}
  PicklePlace(const PickleValue& value, std::string_view name, const PicklePlace& around)
      : value_(value), name_(name), around_(&around) {}

  const PickleValue& value() const { return value_; }

  /// The state of an object of this class. Throws for anything else.
  PicklePlace state_of(std::string_view module, std::string_view name) const;
  /// The arguments of a call of this function. Throws for anything else.
  const std::vector<PickleValue>& call_of(std::string_view module, std::string_view name) const;
  /// A key of a dict. Throws when it is missing.
  PicklePlace at(std::string_view key) const;
  const PickleDict& dict() const { return need<PickleDict>("a dict"); }
  const std::string& text() const { return need<std::string>("a string"); }
  /// Throws for negative ones, too.
  std::int64_t count() const;
  std::vector<std::int64_t> torch_size() const;

  /// Throws RunError "<way>: <why>".
  [[noreturn]] void fail(const std::string& why) const;
  [[noreturn]] void fail_expected(std::string_view what) const;

  template <class T>
  const T& need(std::string_view what) const {
    const T* value = value_.get_if<T>();
    if (value == nullptr) {
      fail_expected(what);
    }
    return *value;
  }

 private:
  const PickleObject& object_of(PickleObject::Made made, std::string_view module,
                                std::string_view name) const;
  std::string way() const;

  const PickleValue& value_;
  std::string_view name_;
  const PicklePlace* around_ = nullptr;
};

}  // namespace titan::formats
