#include "titan/tools/peak_flops.h"

namespace titan::tools {
namespace {

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
