#include "titan/components/metrics/step_lines.h"

#include <filesystem>
#include <limits>
#include <nlohmann/json.hpp>
#include <string_view>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

struct SplitLines {
  std::string before;  // of earlier steps
  std::string from;    // of later ones, and whole lines of somebody else
};

bool is_before(std::string_view line, std::int64_t first_step) {
  const auto json = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (!json.is_object()) return false;
  const auto step = json.find("step");
  return step != json.end() && step->is_number_integer() && step->get<std::int64_t>() < first_step;
}

SplitLines split_at(std::string_view text, std::int64_t first_step) {
  SplitLines lines;
  for (std::size_t end = text.find('\n'); end != std::string_view::npos; end = text.find('\n')) {
    const std::string_view line = text.substr(0, end + 1);
    (is_before(line, first_step) ? lines.before : lines.from) += line;
    text.remove_prefix(end + 1);
  }
  return lines;
}

/// "metrics.1.jsonl", or the next number that no file has.
std::string free_name(base::FileSystem& files, const std::filesystem::path& path) {
  for (int number = 1;; ++number) {
    const std::string name = concat(path.stem().string(), ".", number, path.extension().string());
    const std::string other = (path.parent_path() / name).string();
    if (!files.exists(other)) return other;
  }
}

}  // namespace

void set_aside_steps_from(base::FileSystem& files, const std::string& path,
                          std::int64_t first_step) {
  if (!files.exists(path) || files.is_special(path)) return;
  if (first_step <= 0) {
    if (files.open_for_reading(path)->size() == 0) return;
    const std::string other = free_name(files, path);
    files.rename(path, other);
    tools::log_info("An older run's ", path, " is kept as ", other, ".");
    return;
  }
  const std::string text =
      base::read_whole_file(files, path, std::numeric_limits<std::uint64_t>::max());
  const SplitLines lines = split_at(text, first_step);
  if (!lines.from.empty()) {
    const std::string other = free_name(files, path);
    base::write_file_atomically(files, other, lines.from);
    tools::log_info("Lines of ", path, " of step ", first_step,
                    " and later, from before, are kept as ", other, ".");
  }
  if (lines.before.size() != text.size()) base::write_file_atomically(files, path, lines.before);
}

}  // namespace titan::components
