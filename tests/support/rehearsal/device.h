#pragma once

#include <c10/core/Device.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <set>

#include "support/rehearsal/machine.h"

namespace titan::test::rehearsal {

/// A kind of accelerator on a machine without one, for LibTorch: its PrivateUse1, "rehearsal:0" to
/// "rehearsal:3". It behaves as a GPU where that can go wrong: autograd has a thread for each device, operators are only
/// queued (machine.h), the host may not touch device memory and fresh memory is garbage (memory.h), copies
/// from pinned memory read it later. Kernels are the CPU's, so numbers are too.
/// Call it before the first tensor is made; the device stays for the rest of the process.
void use_rehearsal_device();

/// "rehearsal:index".
at::Device device(int index);
/// The current stream of the calling thread.
StreamId current_stream(at::Device device);

/// Devices that anything was asked of while they were current, or by name: on a GPU each has half a gigabyte less then.
/// A missing device guard shows as device 0 among them.
std::set<int> devices_in_use();
void forget_devices_in_use();

/// What goes wrong on purpose, so that tests can show that they would notice.
struct Faults {
  /// Of `c10::Event::block`: streams do not wait. Collectives' waits still do.
  bool events_order_nothing = false;
  /// Of a collective's `wait`: this one, counted from 1 on each rank, orders nothing.
  std::int64_t forgotten_wait = 0;
  /// The same of all that other streams than the default one wait for.
  bool side_streams_forget = false;
  /// This collective, counted from 1 on each rank, never ends.
  std::int64_t endless_collective = 0;
  /// Of each device, so far.
  std::array<std::atomic<std::int64_t>, Machine::kDevices> waits{};
  std::array<std::atomic<std::int64_t>, Machine::kDevices> collectives{};
};
Faults& faults();

}  // namespace titan::test::rehearsal
