#include "titan/comm/nccl_backend.h"

#include <dlfcn.h>

#include <cstdlib>
#include <map>
#include <utility>

#include "comm/c10d_group.h"
#include "comm/c10d_store.h"
#include "comm/error_reason.h"
#include "titan/base/errors.h"
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

/// As the reference sets it: the process stays to write its traces when a collective times out.
void set_environment(const NcclTraces& traces) {
  set_environment("TORCH_NCCL_ASYNC_ERROR_HANDLING", "3");
  set_environment("TORCH_FR_BUFFER_SIZE", std::to_string(traces.buffer_size));
  if (traces.buffer_size == 0) return;
  set_environment("TORCH_NCCL_DUMP_ON_TIMEOUT", "1");
  set_environment("TORCH_FR_DUMP_TEMP_FILE", traces.file_prefix);
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
                                         groups_.make(keys, {name, ranks, place, timeout}),
                                         device_);
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
                                           const NcclTraces& traces) {
  NcclGroups& groups = loaded_groups();
  set_environment(traces);
  return std::make_unique<NcclBackend>(store, rank, device, groups);
}

}  // namespace titan::comm
