// Whether a dry run's step can be run here.
#include "app/estimate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/tools/process.h"

namespace titan::app {
namespace {

using testing::HasSubstr;

constexpr std::uint64_t kGiB = std::uint64_t{1} << 30;

/// That there is one is all that is asked.
class AnyGpu : public tools::Accelerator {
 public:
  int device_count() const override { return 1; }
  tools::DeviceFacts facts(int) const override { return {}; }
  tools::DeviceMemory peak_memory(int) const override { return {}; }
  void reset_peak_memory(int) override {}
  void record_memory_history(std::size_t) override {}
  std::string memory_snapshot() override { return {}; }
  std::unique_ptr<tools::GraphCapture> make_graph_capture(int) override { return nullptr; }
  std::vector<std::pair<std::string, std::string>> versions() const override { return {}; }
};

forecast::Forecast that_needs(std::uint64_t bytes) {
  forecast::Forecast forecast;
  forecast.memory.emplace_back().peak = static_cast<std::int64_t>(bytes);
  return forecast;
}

TEST(ObstacleToAStep, IsTheMemoryOfTheDeviceThatWouldRunIt) {
  AnyGpu gpu;
  Hardware hardware;
  hardware.accelerator = &gpu;
  hardware.device = at::Device(at::kCUDA, 0);
  // Far more, and far less, than this machine has for the CPU.
  const std::uint64_t large = tools::total_memory_bytes() + 100 * kGiB;
  hardware.facts = {"cuda", "any", 2 * large};
  EXPECT_EQ(obstacle_to_a_step(that_needs(large), hardware, false), "");
  hardware.facts = {"cuda", "any", kGiB};
  EXPECT_EQ(obstacle_to_a_step(that_needs(2 * kGiB), hardware, false),
            "it needs 2.0 GiB of the 1.0 GiB of this GPU");
  EXPECT_THAT(obstacle_to_a_step(that_needs(large), {}, false),
              HasSubstr(" GiB that this process may still take here"));
}

}  // namespace
}  // namespace titan::app
