#include "titan/tools/device_facts.h"

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/tools/process.h"

namespace titan::tools {
namespace {

std::string read_start_of(const std::string& path) {
  try {
    std::string text(4096, '\0');
    text.resize(base::posix_file_system().open_for_reading(path)->read_at(0, text));
    return text;
  } catch (const RunError&) {
    return {};
  }
}

}  // namespace

DeviceFacts cpu_facts() {
  // The first processor's block is enough: hundreds of them take milliseconds to read.
  return {"cpu", cpu_model_name(read_start_of("/proc/cpuinfo")), total_memory_bytes()};
}

std::string cpu_model_name(std::string_view cpuinfo) {
  const std::size_t key = cpuinfo.find("model name");
  if (key == std::string_view::npos) {
    return "CPU";
  }
  std::string_view line = cpuinfo.substr(key);
  line = line.substr(0, line.find('\n'));
  const std::size_t colon = line.find(':');
  const std::size_t start = line.find_first_not_of(": \t", colon);
  return start == std::string_view::npos ? "CPU" : std::string(line.substr(start));
}

}  // namespace titan::tools
