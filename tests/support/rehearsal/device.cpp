#include "support/rehearsal/device.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/core/CachingHostAllocator.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/Allocator.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <array>
#include <chrono>
#include <memory>
#include <mutex>
#include <utility>

#include "support/rehearsal/memory.h"
#include "titan/base/errors.h"

namespace titan::test::rehearsal {

namespace {

constexpr at::DeviceType kType = at::DeviceType::PrivateUse1;
constexpr at::DeviceIndex kCount = Machine::kDevices;

thread_local at::DeviceIndex current_index = 0;
thread_local std::array<int, Machine::kDevices> current_streams{};

std::mutex in_use_mutex;
std::set<int> in_use;

void use(int index) {
  const std::lock_guard lock(in_use_mutex);
  in_use.insert(index);
}

StreamId id_of(const c10::Stream& stream) {
  return {stream.device_index(), static_cast<int>(stream.id())};
}

c10::Stream stream_of(StreamId id) {
  return c10::Stream(c10::Stream::UNSAFE, device(id.device), static_cast<c10::StreamId>(id.number));
}

struct Event {
  Moment moment;
  std::shared_ptr<double> seconds;  // when it was reached
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Guard final : c10::impl::DeviceGuardImplInterface {
  at::DeviceType type() const override { return kType; }
  at::Device exchangeDevice(at::Device to) const override {
    const at::DeviceIndex old = current_index;
    setDevice(to);
    return {kType, old};
  }
  at::Device getDevice() const override { return {kType, current_index}; }
  void setDevice(at::Device to) const override {
    TORCH_CHECK(to.index() >= 0 && to.index() < kCount, "no device ", to);
    current_index = to.index();
  }
  void uncheckedSetDevice(at::Device to) const noexcept override {
    if (to.index() >= 0 && to.index() < kCount) current_index = to.index();
  }
  at::DeviceIndex deviceCount() const noexcept override { return kCount; }

  c10::Stream getStream(at::Device of) const override { return stream_of(current_stream(of)); }
  c10::Stream getDefaultStream(at::Device of) const override {
    return stream_of({of.has_index() ? of.index() : current_index, 0});
  }
  c10::Stream getStreamFromGlobalPool(at::Device of, bool) const override {
    return getNewStream(of, 0);
  }
  c10::Stream getNewStream(at::Device of, int) const override {
    const int index = of.has_index() ? of.index() : current_index;
    use(index);
    return stream_of(Machine::instance().new_stream(index));
  }
  c10::Stream exchangeStream(c10::Stream to) const override {
    const StreamId old = current_stream(to.device());
    current_streams[static_cast<std::size_t>(to.device_index())] = static_cast<int>(to.id());
    return stream_of(old);
  }

  void record(void** event, const c10::Stream& stream, const at::DeviceIndex,
              const c10::EventFlag) const override {
    use(stream.device_index());
    if (*event == nullptr) *event = new Event();
    auto* recorded = static_cast<Event*>(*event);
    recorded->seconds = std::make_shared<double>(0);
    Machine& machine = Machine::instance();
    machine.enqueue(id_of(stream), [seconds = recorded->seconds] { *seconds = seconds_now(); });
    recorded->moment = machine.now(id_of(stream));
  }
  void block(void* event, const c10::Stream& stream) const override {
    use(stream.device_index());
    if (event == nullptr || faults().events_order_nothing) return;
    Machine::instance().order(id_of(stream), static_cast<Event*>(event)->moment);
  }
  bool queryEvent(void* event) const override {
    return event == nullptr || Machine::instance().is_done(static_cast<Event*>(event)->moment);
  }
  void destroyEvent(void* event, const at::DeviceIndex) const noexcept override {
    delete static_cast<Event*>(event);
  }
  /// As on a GPU, of whatever device is the thread's current one.
  void synchronizeEvent(void* event) const override {
    use(current_index);
    if (event != nullptr) Machine::instance().synchronize(static_cast<Event*>(event)->moment);
  }
  double elapsedTime(void* from, void* to, const at::DeviceIndex) const override {
    const double seconds = *static_cast<Event*>(to)->seconds - *static_cast<Event*>(from)->seconds;
    return 1000 * seconds;
  }

  bool queryStream(const c10::Stream& stream) const override {
    Machine& machine = Machine::instance();
    return machine.is_done(machine.now(id_of(stream)));
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    use(stream.device_index());
    Machine::instance().synchronize(id_of(stream));
  }
  void synchronizeDevice(const at::DeviceIndex index) const override {
    use(index);
    Machine::instance().synchronize_device(index);
  }
  void recordDataPtrOnStream(const c10::DataPtr& memory, const c10::Stream& stream) const override {
    DeviceMemory::instance().use_on(memory.get(), id_of(stream));
  }
};
C10_REGISTER_GUARD_IMPL(PrivateUse1, Guard)

void free_device_memory(void* start) { DeviceMemory::instance().free(start); }
void free_pinned_memory(void* start) { PinnedMemory::instance().free(start); }

/// Of the current device, for its current stream.
struct DeviceAllocator final : c10::Allocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    use(current_index);
    const at::Device here{kType, current_index};
    void* start = DeviceMemory::instance().allocate(current_stream(here), bytes);
    return {start, start, &free_device_memory, here};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_device_memory; }
  void copy_data(void*, const void*, std::size_t) const override {
    TITAN_CHECK(false, "the host cannot copy the rehearsal device's memory");
  }
};
DeviceAllocator device_allocator;
REGISTER_ALLOCATOR(kType, &device_allocator)

struct PinnedAllocator final : at::HostAllocator {
  c10::DataPtr allocate(std::size_t bytes) override {
    void* start = PinnedMemory::instance().allocate(bytes);
    return {start, start, &free_pinned_memory, at::Device(at::kCPU)};
  }
  c10::DeleterFnPtr raw_deleter() const override { return &free_pinned_memory; }
  void copy_data(void* to, const void* from, std::size_t bytes) const override {
    default_copy_data(to, from, bytes);
  }
  bool record_event(void*, void*, c10::Stream) override { return true; }
  void empty_cache() override {}
  at::HostStats get_stats() override { return {}; }
  void reset_accumulated_stats() override {}
  void reset_peak_stats() override {}
};
PinnedAllocator pinned_allocator;

struct Hooks final : at::PrivateUse1HooksInterface {
  bool isBuilt() const override { return true; }
  bool isAvailable() const override { return true; }
  bool hasPrimaryContext(at::DeviceIndex index) const override {
    return devices_in_use().contains(index);
  }
  at::DeviceIndex deviceCount() const override { return kCount; }
  at::DeviceIndex getCurrentDevice() const override { return current_index; }
  void setCurrentDevice(at::DeviceIndex index) const override { current_index = index; }
  at::DeviceIndex exchangeDevice(at::DeviceIndex index) const override {
    return std::exchange(current_index, index);
  }
  at::DeviceIndex maybeExchangeDevice(at::DeviceIndex index) const override {
    return exchangeDevice(index);
  }
  const at::Generator& getDefaultGenerator(at::DeviceIndex index) const override {
    TORCH_CHECK(Machine::instance().capture_pool(current_stream({kType, index})) == 0,
                "in a capture the host asked for the random numbers' state");
    static auto* generators = new std::array<at::Generator, Machine::kDevices>();
    at::Generator& generator =
        generators->at(static_cast<std::size_t>(index < 0 ? current_index : index));
    if (!generator.defined()) generator = at::make_generator<at::CPUGeneratorImpl>();
    return generator;
  }
  bool isPinnedPtr(const void* data) const override {
    return PinnedMemory::instance().contains(data);
  }
  at::Allocator* getPinnedMemoryAllocator() const override { return &pinned_allocator; }
};

}  // namespace

at::Device device(int index) { return {kType, static_cast<at::DeviceIndex>(index)}; }

StreamId current_stream(at::Device of) {
  const int index = of.has_index() ? of.index() : current_index;
  return {index, current_streams.at(static_cast<std::size_t>(index))};
}

std::set<int> devices_in_use() {
  const std::lock_guard lock(in_use_mutex);
  return in_use;
}

void forget_devices_in_use() {
  const std::lock_guard lock(in_use_mutex);
  in_use.clear();
}

Faults& faults() {
  static Faults faults;
  return faults;
}

void use_rehearsal_device() {
  static const bool registered = [] {
    DeviceMemory::instance();
    c10::register_privateuse1_backend("rehearsal");
    at::RegisterPrivateUse1HooksInterface(new Hooks());
    at::setHostAllocator(kType, &pinned_allocator);
    return true;
  }();
  static_cast<void>(registered);
}

}  // namespace titan::test::rehearsal
