#include "support/rehearsal/ranks.h"

#include <ATen/Context.h>
#include <c10/core/DeviceGuard.h>
#include <gtest/gtest.h>

#include <numeric>
#include <string>
#include <thread>
#include <vector>

#include "support/rehearsal/device.h"
#include "support/rehearsal/process_group.h"
#include "titan/comm/local_backend.h"

namespace titan::test::rehearsal {

namespace {

/// What a rank's context points to.
struct Rank {
  Rank(const std::string& job, comm::LocalWorld& world, const mesh::Degrees& degrees,
       std::int64_t rank, std::int64_t ranks, at::Device device, const Watched& watched)
      : backend(make_rehearsal_backend(job, rank, device)), host_backend(world.backend(rank)) {
    context.rank = rank;
    context.world_size = ranks;
    context.device = device;
    context.dims = mesh::ParallelDims(degrees, ranks);
    context.groups =
        std::make_shared<comm::Groups>(*backend, context.dims, rank, watched.timeout,
                                       watched.observer ? watched.observer(rank) : nullptr);
    context.generator = at::globalContext().defaultGenerator(device).clone();
    context.generator.set_current_seed(1);
    context.leads_process = rank == 0;
    if (ranks == 1) return;
    std::vector<std::int64_t> all(static_cast<std::size_t>(ranks));
    std::iota(all.begin(), all.end(), 0);
    host_group = host_backend->make_group("checkpoint", all, watched.timeout, nullptr);
    context.host_group = host_group.get();
  }

  std::unique_ptr<comm::Backend> backend;
  std::unique_ptr<comm::Backend> host_backend;
  std::unique_ptr<comm::ProcessGroup> host_group;
  comm::RankContext context;
};

}  // namespace

void on_devices(const mesh::Degrees& degrees, std::int64_t ranks,
                const std::function<void(const comm::RankContext&)>& body, int first_device,
                const Watched& watched) {
  static int jobs = 0;
  use_rehearsal_device();
  Machine& machine = Machine::instance();
  machine.reset();
  for (auto& waits : faults().waits) waits = 0;
  for (auto& collectives : faults().collectives) collectives = 0;
  const std::string job = "job " + std::to_string(++jobs);
  comm::LocalWorld world(ranks);
  std::vector<std::thread> threads;
  for (std::int64_t number = 0; number < ranks; ++number) {
    threads.emplace_back([&, number] {
      const at::Device mine = device(first_device + static_cast<int>(number));
      const c10::DeviceGuard current(mine);
      try {
        const Rank rank(job, world, degrees, number, ranks, mine, watched);
        body(rank.context);
      } catch (const std::exception& error) {
        ADD_FAILURE() << "rank " << number << ": " << error.what();
        machine.abort("another rank failed");
        world.abort("another rank failed");
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

}  // namespace titan::test::rehearsal
