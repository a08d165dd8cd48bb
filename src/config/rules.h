#pragma once

#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/config/origins.h"
#include "titan/config/problem.h"

namespace titan::config {

/// What a rule looks at and where it reports.
struct Rules {
  const JobConfig& config;
  const Origins& origins;
  std::int64_t world_size;
  Problems& problems;

  /// Blames the first of the options that the user set; all were defaults: the first.
  template <class... Parts>
  void broken(std::initializer_list<std::string_view> options, const Parts&... parts) const {
    problems.push_back({blamed(options), concat(parts...)});
  }

  std::string blamed(std::initializer_list<std::string_view> options) const {
    for (const std::string_view option : options) {
      if (!origins.is_default(option)) {
        return origins.of(option);
      }
    }
    return concat("default of ", *options.begin());
  }
};

}  // namespace titan::config
