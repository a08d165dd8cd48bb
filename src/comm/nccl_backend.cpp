#include "titan/comm/nccl_backend.h"

#include <dlfcn.h>

#include <cstdlib>
#include <filesystem>
#include <map>
#include <utility>

#include "comm/c10d_group.h"
#include "comm/c10d_store.h"
#include "comm/error_reason.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/tools/logging.h"

namespace titan::comm {

namespace {

using NcclGroupsFn = NcclGroups* (*)();

/// find_accelerator has loaded the library for everybody.
NcclGroups& loaded_groups() {
  const auto groups = reinterpret_cast<NcclGroupsFn>(dlsym(RTLD_DEFAULT, "titan_nccl_groups"));
  if (groups == nullptr) {
    throw RunError(
        "process groups on NCCL need libtitan_cuda.so, which is not loaded: this build has no CUDA"
        " parts, or no GPU was found");
  }
  return *groups();
}

void set_environment(const char* name, const std::string& value) {
  const char* old = std::getenv(name);
  if (old != nullptr && old != value) {
    tools::log_warning("ENV[", name, "] = ", old, " will be overridden to ", value,
                       " based on job config");
  }
  ::setenv(name, value.c_str(), 1);
}

/// Before the first communicator, which reads them. As the reference sets them, and what it leaves open: a
/// flight recorder is switched off by its size only where nothing else asks for its dump.
void set_environment(const NcclSettings& settings) {
  const bool traces = settings.trace_buffer_size > 0;
  set_environment("TORCH_NCCL_ASYNC_ERROR_HANDLING", "3");
  set_environment("TORCH_FR_BUFFER_SIZE", std::to_string(settings.trace_buffer_size));
  set_environment("TORCH_NCCL_DUMP_ON_TIMEOUT", traces ? "1" : "0");
  if (traces) {
    set_environment("TORCH_FR_DUMP_TEMP_FILE", settings.trace_prefix);
    const auto folder = std::filesystem::path(settings.trace_prefix).parent_path();
    if (!folder.empty()) base::posix_file_system().create_directories(folder);
  }
  if (settings.deterministic) ::setenv("NCCL_ALGO", "^NVLS", /*overwrite=*/0);
}

class NcclBackend : public Backend {
 public:
  NcclBackend(Store& store, std::int64_t rank, c10::Device device, NcclGroups& groups)
      : store_(store), rank_(rank), device_(device), groups_(groups) {}

  std::string_view name() const override { return "nccl"; }
  at::Device device() const override { return device_; }

  std::unique_ptr<ProcessGroup> make_group(const std::string& name,
                                           const std::vector<std::int64_t>& ranks,
                                           std::chrono::milliseconds timeout,
                                           CollectiveObserver* observer) override {
    const std::int64_t place = place_in_group(ranks, rank_);
    const std::string id = group_id(name, ranks);
    const auto keys =
        c10::make_intrusive<C10dStore>(store_, concat("nccl/", id, "/", made_[id]++, "/"));
    keys->setTimeout(timeout);
    try {
      return std::make_unique<C10dGroup>(C10dGroup::Members{name, ranks, place, observer},
                                         groups_.make(keys, {name, ranks, place, timeout}), device_,
                                         timeout);
    } catch (const std::exception& error) {
      throw RunError(concat("rank ", rank_, " cannot make group '", name, "': ", reason_of(error)));
    }
  }

 private:
  Store& store_;
  std::int64_t rank_;
  c10::Device device_;
  NcclGroups& groups_;
  std::map<std::string, int> made_;
};

}  // namespace

std::unique_ptr<Backend> make_nccl_backend(Store& store, std::int64_t rank, c10::Device device,
                                           const NcclSettings& settings) {
  NcclGroups& groups = loaded_groups();
  set_environment(settings);
  return std::make_unique<NcclBackend>(store, rank, device, groups);
}

}  // namespace titan::comm
