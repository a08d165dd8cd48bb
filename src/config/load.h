#pragma once

#include <span>
#include <string>
#include <vector>

#include "config/toml_file.h"
#include "titan/base/file_system.h"
#include "titan/config/job_config.h"
#include "titan/config/origins.h"

namespace titan::config {

/// Merges TOML files and overrides into one config, remembering where each value came from.
class Loader {
 public:
  Loader(base::FileSystem& files, Problems& problems) : files_(files), problems_(problems) {}

  /// Loads the file and, before it, its chain of `base` files. `named_by` tells who asked for it.
  void load_file(const std::string& given_path, const std::string& named_by);
  void apply(const Assignment& assignment);

  JobConfig config;
  Origins origins;

 private:
  void load_base(const TomlFile& file, const std::string& path);

  base::FileSystem& files_;
  Problems& problems_;
  std::vector<std::string> chain_;  ///< files being loaded: each is the base of the one before
};

}  // namespace titan::config
