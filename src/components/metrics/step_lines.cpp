#include "titan/components/metrics/step_lines.h"

#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "titan/base/file_system.h"

namespace titan::components {
namespace {

bool is_before(std::string_view line, std::int64_t first_dropped) {
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;  // cut off, or nothing of ours
  const auto step = json.find("step");
  return step != json.end() && step->is_number_integer() &&
         step->get<std::int64_t>() < first_dropped;
}

}  // namespace

void drop_steps_from(base::FileSystem& files, const std::string& path, std::int64_t first_dropped) {
  if (!files.exists(path) || files.is_special(path)) return;
  const std::string text =
      base::read_whole_file(files, path, std::numeric_limits<std::uint64_t>::max());
  std::string kept;
  std::string_view rest = text;
  while (!rest.empty()) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) break;
    if (is_before(rest.substr(0, end), first_dropped)) kept += rest.substr(0, end + 1);
    rest.remove_prefix(end + 1);
  }
  if (kept.size() != text.size()) base::write_file_atomically(files, path, kept);
}

}  // namespace titan::components
