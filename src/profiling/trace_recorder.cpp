#include "profiling/trace_recorder.h"

#include <c10/core/impl/VirtualGuardImpl.h>
#include <torch/csrc/autograd/profiler_kineto.h>
#include <torch/csrc/profiler/kineto_shim.h>

#include <array>
#include <filesystem>
#include <set>

#include "titan/base/errors.h"

namespace titan::profiling {

namespace {

namespace kineto = torch::autograd::profiler;
using torch::profiler::impl::ActivityType;
using torch::profiler::impl::ProfilerConfig;
using torch::profiler::impl::ProfilerState;

std::set<ActivityType> activities(at::Device device) {
  if (device.is_cuda()) return {ActivityType::CPU, ActivityType::CUDA};
  return {ActivityType::CPU};
}

ProfilerConfig profiler_config() {
  return ProfilerConfig(ProfilerState::KINETO, /*report_input_shapes=*/true);
}

/// Whether the file is there and ends as the JSON of a trace does.
bool is_whole(base::FileSystem& files, const std::string& path) {
  if (!files.exists(path)) return false;
  const auto file = files.open_for_reading(path);
  std::array<char, 1> last{};
  return file->size() > 0 && file->read_at(file->size() - 1, last) == 1 && last[0] == '}';
}

void remove_if_there(base::FileSystem& files, const std::string& path) {
  if (files.exists(path)) files.remove_file(path);
}

}  // namespace

TraceRecorder::TraceRecorder(base::FileSystem& files, at::Device device, std::int64_t rank,
                             std::int64_t world_size)
    : files_(files),
      device_(device),
      rank_json_(concat(R"({"rank": )", rank, R"(, "world_size": )", world_size, "}")) {}

TraceRecorder::~TraceRecorder() { drop(); }

void TraceRecorder::warm_up() {
  if (state_ != State::kIdle) return;
  kineto::prepareProfiler(profiler_config(), activities(device_));
  state_ = State::kWarm;
}

void TraceRecorder::start() {
  TITAN_CHECK(!recording(), "a trace is under way already");
  warm_up();
  kineto::enableProfiler(profiler_config(), activities(device_));
  state_ = State::kRecording;
  kineto::addMetadataJson("record_shapes", "1");
  kineto::addMetadataJson("distributedInfo", rank_json_);
}

void TraceRecorder::stop_and_save(const std::string& path) {
  TITAN_CHECK(recording(), "no trace is under way");
  if (!device_.is_cpu()) {
    // Kernels that run still belong to the steps recorded.
    c10::impl::VirtualGuardImpl(device_.type()).synchronizeDevice(device_.index());
  }
  state_ = State::kIdle;
  const auto result = kineto::disableProfiler();
  const std::string folder = std::filesystem::path(path).parent_path();
  files_.create_directories(folder);
  // Kineto writes a temporary file and renames it, but keeps an error to itself.
  remove_if_there(files_, path);
  result->save(path);
  if (!is_whole(files_, path)) {
    remove_if_there(files_, path);
    remove_if_there(files_, path + ".tmp");
    throw RunError(concat("cannot write the trace ", path,
                          ": the file is missing or cut off. Is there space on the disk?"));
  }
}

void TraceRecorder::drop() noexcept {
  const State state = state_;
  state_ = State::kIdle;
  try {
    // Only what is enabled can be disabled, and a device traces until that.
    if (state == State::kWarm) kineto::enableProfiler(profiler_config(), activities(device_));
    if (state != State::kIdle) kineto::disableProfiler();
  } catch (const std::exception&) {
    // Nothing of it is wanted.
  }
}

}  // namespace titan::profiling
