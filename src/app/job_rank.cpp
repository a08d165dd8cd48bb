#include "app/job_rank.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <numeric>
#include <random>
#include <sstream>
#include <utility>
#include <vector>

#include "app/job_inputs.h"
#include "titan/base/errors.h"
#include "titan/base/printable.h"
#include "titan/comm/agreement.h"
#include "titan/comm/fake_backend.h"
#include "titan/comm/gloo_backend.h"
#include "titan/comm/nccl_backend.h"
#include "titan/comm/tcp_store.h"
#include "titan/config/print.h"
#include "titan/mesh/parallel_dims.h"
#include "titan/tools/logging.h"

namespace titan::app {

namespace {

/// A machine of a job and the ranks on it.
struct Host {
  std::string name;
  std::int64_t first_rank = 0;
  std::int64_t ranks = 0;
};

std::string key_of(std::int64_t number) { return concat("titan/host/", number); }

Host parse_host(const std::string& text) {
  Host host;
  std::istringstream fields(text);
  fields >> host.first_rank >> host.ranks >> host.name;
  if (!fields || host.ranks < 1) {
    throw RunError(concat("the store holds no host in '", base::printable(text, 80), "'"));
  }
  host.name = base::printable(host.name, 255);
  return host;
}

/// Tells the store about this machine, once per machine, and returns all machines on rank 0, by their
/// first rank; on the others nothing. Throws RunError when one does not come within `timeout`.
std::vector<Host> meet_hosts(comm::Store& store, const tools::LaunchEnvironment& launch,
                             std::chrono::milliseconds timeout) {
  if (launch.local_rank == 0) {
    store.set(key_of(store.add("titan/hosts", 1)),
              concat(launch.rank, " ", launch.local_world_size, " ", launch.host));
  }
  std::vector<Host> hosts;
  if (launch.rank != 0) return hosts;
  std::int64_t met = 0;
  while (met < launch.world_size) {
    hosts.push_back(
        parse_host(store.wait(key_of(static_cast<std::int64_t>(hosts.size()) + 1), timeout)));
    met += hosts.back().ranks;
  }
  std::ranges::sort(hosts, {}, &Host::first_rank);
  return hosts;
}

/// "Hosts: node01 ranks 0-7; node02 ranks 8-15".
std::string hosts_text(const std::vector<Host>& hosts) {
  std::string text = "Hosts: ";
  for (const Host& host : hosts) {
    if (&host != &hosts.front()) text += "; ";
    text += concat(host.name, host.ranks == 1 ? " rank " : " ranks ", host.first_rank);
    if (host.ranks > 1) text += concat("-", host.first_rank + host.ranks - 1);
  }
  return text;
}

constexpr const char* kSeedKey = "titan/seed";
/// Ranks wait for one another's disks.
constexpr std::chrono::minutes kHostTimeout{60};

std::chrono::seconds init_timeout(const JobSetup& setup) {
  return std::chrono::seconds(setup.config.comm.init_timeout_seconds);
}

at::Generator make_generator(at::Device device, std::int64_t seed) {
  at::Generator generator = device.is_cpu() ? at::make_generator<at::CPUGeneratorImpl>()
                                            : at::globalContext().defaultGenerator(device).clone();
  generator.set_current_seed(static_cast<std::uint64_t>(seed));
  return generator;
}

/// Of the device that parameters are on.
at::Generator make_generator(const JobSetup& setup, std::int64_t seed) {
  const bool offloaded = setup.config.training.enable_cpu_offload;
  return make_generator(offloaded ? at::Device(at::kCPU) : setup.device, seed);
}

std::unique_ptr<JobRank> make_rank(const JobSetup& setup, std::int64_t rank) {
  auto result = std::make_unique<JobRank>();
  result->context.rank = rank;
  result->context.world_size = setup.world_size;
  result->context.device = setup.device;
  result->context.dims = mesh::ParallelDims(setup.config.parallelism.degrees(), setup.world_size);
  result->context.groups = std::make_shared<comm::Groups>(setup.device);
  return result;
}

watch::WatchSetup watch_setup(const JobSetup& setup, std::int64_t rank,
                              std::shared_ptr<comm::Store> store) {
  const config::Comm& comm = setup.config.comm;
  watch::WatchSetup watch;
  watch.rank = rank;
  watch.world_size = setup.world_size;
  watch.host = setup.launch.host;
  watch.store = std::move(store);
  watch.traces_folder =
      (std::filesystem::path(setup.config.job.dump_folder) / comm.save_traces_folder).string();
  watch.file_prefix = comm.save_traces_file_prefix;
  watch.trace_buf_size = comm.trace_buf_size;
  return watch;
}

std::unique_ptr<comm::Backend> make_backend(const JobSetup& setup, comm::Store& store) {
  if (!setup.device.is_cuda()) return comm::make_gloo_backend(store, setup.launch);
  const config::Comm& comm = setup.config.comm;
  const auto traces = std::filesystem::path(setup.config.job.dump_folder) /
                      comm.save_traces_folder / comm.save_traces_file_prefix;
  return comm::make_nccl_backend(
      store, setup.launch.rank, setup.device,
      {comm.trace_buf_size, traces.string(), setup.config.debug.deterministic});
}

void make_groups(const JobSetup& setup, JobRank& rank) {
  tools::log_info(mesh::building_text(rank.context.dims));
  rank.context.groups = std::make_shared<comm::Groups>(
      *rank.backend, rank.context.dims, rank.context.rank, init_timeout(setup), rank.watch.get());
  rank.context.watch = rank.watch.get();
  tools::log_info(mesh::created_text(rank.context.dims));
}

/// Of the group for checkpoints. A rank that is lost is a matter for the watch; storage that is slow ends
/// a save and not the job.
class HostGroupObserver : public comm::CollectiveObserver {
 public:
  explicit HostGroupObserver(watch::Watch& watch) : watch_(watch) {}
  std::uint64_t started(const comm::CollectiveCall& call) override { return watch_.started(call); }
  void finished(std::uint64_t id) override { watch_.finished(id); }
  std::string explain(std::uint64_t id, const comm::CollectiveCall& call,
                      std::string_view error) override {
    const bool slow = error.find("imed out") != std::string_view::npos ||
                      error.find("imeout") != std::string_view::npos;
    if (!slow) return watch_.explain(id, call, error);
    watch_.finished(id);
    return concat(call.operation, " #", call.sequence, " of ", call.group, " failed: ", error);
  }

 private:
  watch::Watch& watch_;
};

/// For checkpoints, which are saved while collectives of training are under way.
void make_host_group(const JobSetup& setup, JobRank& rank) {
  if (!setup.config.checkpoint.enable) return;
  comm::Backend& backend = rank.host_backend ? *rank.host_backend : *rank.backend;
  std::vector<std::int64_t> all(static_cast<std::size_t>(setup.world_size));
  std::iota(all.begin(), all.end(), 0);
  rank.host_observer = std::make_unique<HostGroupObserver>(*rank.watch);
  rank.host_group =
      backend.make_group("checkpoint", all, init_timeout(setup), rank.host_observer.get());
  rank.host_group->set_timeout(kHostTimeout);
  rank.context.host_group = rank.host_group.get();
}

/// The same on all ranks: the config's, or what rank 0 has drawn.
std::int64_t common_seed(const JobSetup& setup, std::int64_t rank, comm::Store& store) {
  if (setup.config.debug.seed) return *setup.config.debug.seed;
  if (rank == 0) store.set(kSeedKey, std::to_string(seed_of(setup.config)));
  const std::string text = store.wait(kSeedKey, init_timeout(setup));
  std::int64_t seed = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seed);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw RunError(concat("the store holds no seed in '", base::printable(text, 80), "'"));
  }
  return seed;
}

/// Options, and what is behind their paths on this machine.
std::map<std::string, std::string> what_is_common(const config::JobConfig& config) {
  std::map<std::string, std::string> values = config::values_by_option(config);
  values.merge(job_inputs(config));
  return values;
}

}  // namespace

std::int64_t seed_of(const config::JobConfig& config) {
  if (config.debug.seed) return *config.debug.seed;
  const std::int64_t seed = std::random_device()();
  tools::log_info("debug.seed is not set; this run's seed is ", seed);
  return seed;
}

std::unique_ptr<JobRank> lone_rank(const JobSetup& setup) {
  auto rank = make_rank(setup, 0);
  rank->context.generator = make_generator(setup, seed_of(setup.config));
  return rank;
}

std::unique_ptr<JobRank> launched_rank(const JobSetup& setup) {
  const tools::LaunchEnvironment& launch = setup.launch;
  auto rank = make_rank(setup, launch.rank);
  rank->store = comm::connect_store(launch, init_timeout(setup));
  comm::check_same_config(*rank->store, launch.rank, setup.world_size, what_is_common(setup.config),
                          init_timeout(setup));
  const std::vector<Host> hosts = meet_hosts(*rank->store, launch, init_timeout(setup));
  if (launch.rank == 0) tools::log_info(hosts_text(hosts));
  watch::WatchSetup watch =
      watch_setup(setup, launch.rank, comm::connect_again(launch, init_timeout(setup)));
  watch.store_rank = launch.agent_store ? -1 : 0;
  watch.end_rank = watch::end_process;
  rank->watch = watch::make_watch(std::move(watch));
  rank->backend = make_backend(setup, *rank->store);
  if (setup.device.is_cuda() && setup.config.checkpoint.enable) {
    rank->host_backend = comm::make_gloo_backend(*rank->store, setup.launch);
  }
  rank->context.generator = make_generator(setup, common_seed(setup, launch.rank, *rank->store));
  make_groups(setup, *rank);
  make_host_group(setup, *rank);
  return rank;
}

std::unique_ptr<JobRank> pretended_rank(const JobSetup& setup) {
  auto rank = lone_rank(setup);
  rank->backend = comm::make_fake_backend(setup.world_size);
  make_groups(setup, *rank);
  return rank;
}

std::unique_ptr<JobRank> thread_rank(const JobSetup& setup, comm::LocalWorld& world,
                                     std::int64_t rank, std::int64_t seed) {
  auto result = make_rank(setup, rank);
  result->context.leads_process = rank == 0;
  result->context.generator = make_generator(setup, seed);
  result->backend = world.backend(rank, setup.device);
  if (!setup.device.is_cpu()) result->host_backend = world.backend(rank);
  result->store = std::shared_ptr<comm::Store>(std::shared_ptr<void>(), &world.store());
  watch::WatchSetup watch = watch_setup(setup, rank, result->store);
  watch.end_rank = [&world](const std::string& reason) { world.abort(reason); };
  result->watch = watch::make_watch(std::move(watch));
  make_groups(setup, *result);
  make_host_group(setup, *result);
  return result;
}

}  // namespace titan::app
