#pragma once

#include <map>
#include <string>
#include <string_view>

namespace titan::config {

/// Where each option's value came from.
class Origins {
 public:
  /// "default", "configs/x.toml:3:1" or "command line". `option` is a full name
  /// ("training.steps"); an unknown one is our bug and throws InternalError.
  const std::string& of(std::string_view option) const;
  bool is_default(std::string_view option) const;
  void set(const std::string& option, std::string origin);

 private:
  std::map<std::string, std::string, std::less<>> given_;
};

}  // namespace titan::config
