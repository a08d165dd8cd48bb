#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "titan/tools/environment_variable.h"
#include "titan/tools/launch_environment.h"

namespace titan::tools {

/// Environment variables with their checks: every complaint is a ConfigError that names the
/// variable, shows its value and says who sets it.
class LaunchVariables {
 public:
  /// `launcher` is for messages, as "torchrun".
  LaunchVariables(const EnvironmentLookup& lookup, std::string launcher);

  std::optional<std::string> find(const char* name) const;
  /// Throws ConfigError where it is not set.
  std::string text(const char* name) const;
  /// A whole number from `least` to `most`; `otherwise`, or a ConfigError, where it is not set.
  std::int64_t number(const char* name, std::int64_t least, std::int64_t most,
                      std::optional<std::int64_t> otherwise = std::nullopt) const;
  /// Fills rank and size from two variables; throws when rank is not below size.
  void read_rank(const char* rank_name, const char* size_name, std::int64_t& rank,
                 std::int64_t& size) const;
  /// MASTER_ADDR and MASTER_PORT where they are set.
  void read_master(LaunchEnvironment& environment) const;

  [[noreturn]] void refuse(const std::string& name, const std::string& why) const;

 private:
  const EnvironmentLookup& lookup_;
  std::string launcher_;
};

}  // namespace titan::tools
