#include "titan/tools/device_facts.h"

#include <gtest/gtest.h>

#include "titan/tools/process.h"

namespace titan::tools {
namespace {

TEST(DeviceFacts, TheProcessorIsNamedByTheFirstBlock) {
  EXPECT_EQ(cpu_model_name("processor\t: 0\nmodel\t\t: 2\nmodel name\t: AMD EPYC 9B14\nx\t: 1\n\n"
                           "processor\t: 1\nmodel name\t: other\n"),
            "AMD EPYC 9B14");
}

TEST(DeviceFacts, AProcessorWithoutANameIsACpu) {
  EXPECT_EQ(cpu_model_name("processor\t: 0\nCPU implementer\t: 0x41\n"), "CPU");
  EXPECT_EQ(cpu_model_name("model name"), "CPU");
  EXPECT_EQ(cpu_model_name("model name\t: \n"), "CPU");
  EXPECT_EQ(cpu_model_name(""), "CPU");
}

TEST(DeviceFacts, ThisMachine) {
  const DeviceFacts facts = cpu_facts();
  EXPECT_EQ(facts.type, "cpu");
  EXPECT_FALSE(facts.name.empty());
  EXPECT_EQ(facts.total_memory_bytes, total_memory_bytes());
}

TEST(PeakFlops, NamesAsDriversReportThem) {
  EXPECT_EQ(peak_flops("NVIDIA A100-SXM4-80GB"), 312e12);
  EXPECT_EQ(peak_flops("NVIDIA H100 NVL"), 835e12);
  EXPECT_EQ(peak_flops("NVIDIA H100 PCIe"), 756e12);
  EXPECT_EQ(peak_flops("NVIDIA H100 80GB HBM3"), 989e12);
  EXPECT_EQ(peak_flops("NVIDIA H200"), 989e12);
  EXPECT_EQ(peak_flops("NVIDIA GH200 480GB"), 989e12);
  EXPECT_EQ(peak_flops("NVIDIA H20"), 148e12);
  EXPECT_EQ(peak_flops("NVIDIA B200"), 2.25e15);
  EXPECT_EQ(peak_flops("AMD Instinct MI355X"), 2500e12);
  EXPECT_EQ(peak_flops("AMD Instinct MI300X"), 1300e12);
  EXPECT_EQ(peak_flops("AMD Instinct MI325X"), 1300e12);
  EXPECT_EQ(peak_flops("AMD Instinct MI250X / MI250"), 191.5e12);
  EXPECT_EQ(peak_flops("NVIDIA L40S"), 362e12);
}

TEST(PeakFlops, AnUnknownDeviceHasNone) {
  EXPECT_EQ(peak_flops("AMD EPYC"), std::nullopt);
  EXPECT_EQ(peak_flops("NVIDIA GeForce RTX 4090"), std::nullopt);
  EXPECT_EQ(peak_flops(""), std::nullopt);
}

}  // namespace
}  // namespace titan::tools
