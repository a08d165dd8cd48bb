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

struct Peak {
  std::string_view name;
  std::string_view variant;  // must be in the device's name too
  double flops;
};

// The first row whose texts are in the name wins: the special before the general.
constexpr Peak kPeaks[] = {
    {"A100", "", 312e12},    {"H100", "NVL", 835e12},  {"H100", "PCIe", 756e12},
    {"H100", "", 989e12},    {"H200", "", 989e12},     {"H20", "", 148e12},
    {"B200", "", 2.25e15},   {"MI355X", "", 2500e12},  {"MI300X", "", 1300e12},
    {"MI325X", "", 1300e12}, {"MI250X", "", 191.5e12}, {"L40S", "", 362e12},
    {"l40s", "", 362e12},
};

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

std::optional<double> peak_flops(std::string_view device_name) {
  for (const Peak& peak : kPeaks) {
    if (device_name.find(peak.name) != std::string_view::npos &&
        device_name.find(peak.variant) != std::string_view::npos) {
      return peak.flops;
    }
  }
  return std::nullopt;
}

}  // namespace titan::tools
