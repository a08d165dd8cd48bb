#include "app/memory_monitors.h"

#include "titan/tools/process.h"

namespace titan::app {

namespace {

constexpr double kGiB = 1024.0 * 1024.0 * 1024.0;

double gib(std::uint64_t bytes) { return static_cast<double>(bytes) / kGiB; }

double percent(std::uint64_t bytes, std::uint64_t total) {
  return total == 0 ? 0 : 100.0 * static_cast<double>(bytes) / static_cast<double>(total);
}

class DeviceMemoryMonitor : public protocols::MemoryMonitor {
 public:
  DeviceMemoryMonitor(tools::Accelerator& accelerator, int index)
      : accelerator_(accelerator), index_(index) {}
  protocols::MemoryPeak peak() override {
    const tools::DeviceMemory memory = accelerator_.peak_memory(index_);
    return {gib(memory.peak_active_bytes),
            percent(memory.peak_active_bytes, memory.total_bytes),
            gib(memory.peak_reserved_bytes),
            percent(memory.peak_reserved_bytes, memory.total_bytes),
            memory.alloc_retries,
            memory.ooms};
  }
  void reset_peak() override { accelerator_.reset_peak_memory(index_); }

 private:
  tools::Accelerator& accelerator_;
  int index_;
};

/// The kernel's peak of resident memory cannot be reset by us: it is that of the whole run.
class ProcessMemoryMonitor : public protocols::MemoryMonitor {
 public:
  protocols::MemoryPeak peak() override {
    const std::uint64_t resident = tools::peak_resident_bytes();
    const double pct = percent(resident, tools::total_memory_bytes());
    return {gib(resident), pct, gib(resident), pct, 0, 0};
  }
  void reset_peak() override {}
};

}  // namespace

std::unique_ptr<protocols::MemoryMonitor> make_memory_monitor(tools::Accelerator* accelerator,
                                                              int device_index) {
  if (accelerator == nullptr) return std::make_unique<ProcessMemoryMonitor>();
  return std::make_unique<DeviceMemoryMonitor>(*accelerator, device_index);
}

}  // namespace titan::app
