#include "tools/slurm_environment.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <string_view>

#include "titan/base/errors.h"

namespace titan::tools {
namespace {

constexpr std::int64_t kMostTasks = 1'000'000;
constexpr std::int64_t kLargestId = std::numeric_limits<std::uint32_t>::max();

/// The first of the names that is set, or the last, so that a complaint can name one.
const char* first_set(const LaunchVariables& variables, std::initializer_list<const char*> names) {
  const char* const* found = std::ranges::find_if(
      names, [&](const char* name) { return variables.find(name).has_value(); });
  return found == names.end() ? *(names.end() - 1) : *found;
}

std::int64_t leading_number(std::string_view& text) {
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || value < 1 || value > kMostTasks) return 0;
  text.remove_prefix(static_cast<std::size_t>(end - text.data()));
  return value;
}

/// The tasks of machine number `node` from a list such as "8(x2),4": two machines with 8 and one
/// with 4. 0 where the list does not say.
std::int64_t tasks_of_node(std::string_view list, std::int64_t node) {
  while (!list.empty()) {
    const std::int64_t tasks = leading_number(list);
    std::int64_t nodes = 1;
    if (list.starts_with("(x")) {
      list.remove_prefix(2);
      nodes = leading_number(list);
      if (nodes == 0 || !list.starts_with(')')) return 0;
      list.remove_prefix(1);
    }
    if (tasks == 0 || node < nodes) return tasks;
    node -= nodes;
    if (!list.starts_with(',')) return 0;
    list.remove_prefix(1);
  }
  return 0;
}

std::int64_t tasks_here(const LaunchVariables& variables, std::int64_t world_size) {
  const char* name = first_set(variables, {"SLURM_STEP_TASKS_PER_NODE", "SLURM_TASKS_PER_NODE"});
  if (const auto list = variables.find(name)) {
    const std::int64_t node = variables.number("SLURM_NODEID", 0, kMostTasks, 0);
    const std::int64_t tasks = tasks_of_node(*list, node);
    if (tasks == 0) {
      variables.refuse(name, concat("does not say how many tasks machine ", node, " has"));
    }
    return tasks;
  }
  if (variables.find("SLURM_NTASKS_PER_NODE")) {
    return std::min(world_size, variables.number("SLURM_NTASKS_PER_NODE", 1, kMostTasks));
  }
  const char* nodes_name =
      first_set(variables, {"SLURM_STEP_NUM_NODES", "SLURM_NNODES", "SLURM_JOB_NUM_NODES"});
  const std::int64_t nodes = variables.number(nodes_name, 1, kMostTasks, 1);
  return (world_size + nodes - 1) / nodes;
}

/// A port that the tasks of a step agree on and another job on the same machine hardly has: below
/// those that the kernel hands out by itself.
std::uint16_t port_of_job(const LaunchVariables& variables) {
  constexpr std::int64_t kFirst = 20'000;
  constexpr std::int64_t kPorts = 10'000;
  const char* name = first_set(variables, {"SLURM_JOB_ID", "SLURM_JOBID"});
  const std::int64_t job = variables.number(name, 0, kLargestId);
  const std::int64_t step = variables.number("SLURM_STEP_ID", 0, kLargestId, 0);
  return static_cast<std::uint16_t>(kFirst + (job + 31 * step) % kPorts);
}

}  // namespace

bool started_by_srun(const LaunchVariables& variables) {
  const bool in_step = variables.find("SLURM_STEP_ID") || variables.find("SLURM_STEPID");
  const bool in_batch_script = variables.find("ENVIRONMENT") == "BATCH" && !in_step;
  return variables.find("SLURM_PROCID") && !in_batch_script;
}

LaunchEnvironment read_slurm(const EnvironmentLookup& lookup) {
  const LaunchVariables variables(lookup, "Slurm");
  LaunchEnvironment environment;
  environment.launcher = "Slurm";
  const char* size_name = first_set(variables, {"SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"});
  variables.read_rank("SLURM_PROCID", size_name, environment.rank, environment.world_size);
  environment.local_rank = variables.number("SLURM_LOCALID", 0, kMostTasks);
  environment.local_world_size = tasks_here(variables, environment.world_size);
  if (environment.local_rank >= environment.local_world_size) {
    variables.refuse("SLURM_LOCALID",
                     concat("is ", environment.local_rank, ", but this machine has ",
                            environment.local_world_size, " tasks"));
  }
  variables.read_master(environment);
  if (environment.world_size == 1) return environment;
  if (environment.master_address.empty()) {
    const std::string machines = variables.text(
        first_set(variables, {"SLURM_STEP_NODELIST", "SLURM_JOB_NODELIST", "SLURM_NODELIST"}));
    environment.master_address = first_host(machines);
    // Nobody else needs to reach a job of one machine.
    const bool one_name = machines.find_first_of(",[") == std::string::npos;
    if (one_name && environment.on_one_machine()) environment.master_address = "127.0.0.1";
  }
  if (environment.master_port == 0) environment.master_port = port_of_job(variables);
  return environment;
}

std::string first_host(const std::string& host_list) {
  const auto refuse = [&] {
    throw ConfigError(concat("cannot read the first machine of Slurm's list of machines '",
                             host_list.substr(0, 200), "'; set MASTER_ADDR to its name"));
  };
  std::string host;
  for (std::size_t at = 0; at < host_list.size() && host_list[at] != ','; ++at) {
    if (host_list[at] != '[') {
      host += host_list[at];
      continue;
    }
    const std::size_t close = host_list.find(']', at);
    if (close == std::string::npos) refuse();
    const std::size_t end = std::min(host_list.find_first_of(",-]", at), close);
    if (end == at + 1) refuse();
    host += host_list.substr(at + 1, end - at - 1);
    at = close;
  }
  const bool readable = std::ranges::all_of(
      host, [](unsigned char letter) { return letter > ' ' && letter <= '~' && letter != ']'; });
  if (host.empty() || !readable) refuse();
  return host;
}

}  // namespace titan::tools
