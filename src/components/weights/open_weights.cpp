#include "titan/components/weights/open_weights.h"

#include <algorithm>
#include <string_view>

#include "components/weights/weights_formats.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::components {
namespace {

constexpr std::string_view kSafetensors = ".safetensors";

/// ": it holds step-10 and 2 more" for a folder of checkpoints, whose user meant one of them.
std::string checkpoints_inside(const std::vector<std::string>& names) {
  std::string last;
  std::size_t count = 0;
  for (const std::string& name : names) {
    if (!name.starts_with("step-")) continue;
    ++count;
    if (std::pair(name.size(), name) > std::pair(last.size(), last)) last = name;
  }
  if (count == 0) return "";
  return concat(": it holds ", last, count > 1 ? concat(" and ", count - 1, " more") : "",
                ", name one of them");
}

}  // namespace

WeightsFormat weights_format_of(base::FileSystem& files, const std::string& path) {
  if (!files.exists(path)) throw RunError(concat("'", path, "' does not exist"));
  if (!files.is_directory(path)) {
    return path.ends_with(kSafetensors) ? WeightsFormat::kHf : WeightsFormat::kPt;
  }
  if (files.exists(path + "/.metadata")) return WeightsFormat::kDcp;
  const std::vector<std::string> names = files.list_directory(path);
  const auto is_safetensors = [](const std::string& name) { return name.ends_with(kSafetensors); };
  if (std::ranges::any_of(names, is_safetensors)) return WeightsFormat::kHf;
  throw RunError(concat("'", path,
                        "' has neither .metadata (a checkpoint, complete) nor safetensors",
                        checkpoints_inside(names)));
}

std::unique_ptr<WeightsReader> open_weights(base::FileSystem& files, WeightsFormat format,
                                            const std::string& path) {
  switch (format) {
    case WeightsFormat::kDcp:
      return open_dcp_weights(files, path);
    case WeightsFormat::kPt:
      return open_pt_weights(files, path);
    case WeightsFormat::kHf:
      return open_hf_weights(files, path);
  }
  throw InternalError("unknown format");
}

std::unique_ptr<WeightsWriter> create_weights(base::FileSystem& files, WeightsFormat format,
                                              const std::string& path,
                                              std::vector<WeightInfo> tensors) {
  switch (format) {
    case WeightsFormat::kDcp:
      return create_dcp_weights(files, path, std::move(tensors));
    case WeightsFormat::kPt:
      return create_pt_weights(files, path, std::move(tensors));
    case WeightsFormat::kHf:
      return create_hf_weights(files, path, std::move(tensors));
  }
  throw InternalError("unknown format");
}

}  // namespace titan::components
