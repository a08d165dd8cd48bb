#pragma once

#include <map>
#include <ranges>
#include <string>
#include <utility>

#include "titan/base/errors.h"

namespace titan::protocols {

/// Things that are found by the name that a config uses. `kind` is what messages call them.
template <class Thing>
class Registry {
 public:
  explicit Registry(std::string kind) : kind_(std::move(kind)) {}

  /// Throws ConfigError when the name is taken.
  void add(const std::string& name, Thing thing) {
    if (!things_.emplace(name, std::move(thing)).second) {
      throw ConfigError(kind_ + " " + name + " is already registered.");
    }
  }

  /// Throws ConfigError, which begins with `option`, listing the registered names.
  const Thing& find(const std::string& option, const std::string& name) const {
    const auto found = things_.find(name);
    if (found != things_.end()) return found->second;
    throw ConfigError(option + ": " + kind_ + " " + name + " is not registered. Registered: " +
                      (things_.empty() ? "none" : joined(std::views::keys(things_))) + ".");
  }

 private:
  std::string kind_;
  std::map<std::string, Thing> things_;
};

}  // namespace titan::protocols
