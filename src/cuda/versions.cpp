#include "titan/cuda/versions.h"

#include <algorithm>

namespace titan::cuda {

std::optional<std::string> driver_version(base::FileSystem& files) {
  constexpr const char* kPath = "/sys/module/nvidia/version";
  constexpr std::uint64_t kMostBytes = 4096;
  if (!files.exists(kPath)) return std::nullopt;
  const std::string text = base::read_whole_file(files, kPath, kMostBytes);
  return text.substr(0, text.find('\n'));
}

Versions with_loaded(Versions compiled, const Versions& loaded) {
  for (auto& [name, version] : compiled) {
    const auto same_name = std::ranges::find(loaded, name, &Versions::value_type::first);
    if (same_name != loaded.end() && same_name->second != version) {
      version += " (loaded: " + same_name->second + ")";
    }
  }
  return compiled;
}

}  // namespace titan::cuda
