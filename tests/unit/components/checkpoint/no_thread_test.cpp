// Saves on a system that has no more threads to give.
#include <ATen/ops/full.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pthread.h>

#include <cerrno>

#include "components/checkpoint/in_thread.h"
#include "components/checkpoint/run_checkpoints.h"
#include "support/temporary_folder.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/checkpointer.h"
#include "unit/components/checkpoint/example_state.h"

namespace {

/// Whether this thread may begin no other. Limits of the real system do not hold for root.
thread_local bool no_threads = false;

}  // namespace

/// Stands before the C library's for the whole program.
extern "C" int pthread_create(pthread_t* thread, const pthread_attr_t* attributes,
                              void* (*routine)(void*), void* argument) noexcept {
  using Create = int (*)(pthread_t*, const pthread_attr_t*, void* (*)(void*), void*);
  static const auto real = reinterpret_cast<Create>(::dlsym(RTLD_NEXT, "pthread_create"));
  return no_threads ? EAGAIN : real(thread, attributes, routine, argument);
}

namespace titan::components {
namespace {

using config::AsyncMode;
using testing::HasSubstr;

class NoThreads {
 public:
  NoThreads() { no_threads = true; }
  ~NoThreads() { no_threads = false; }
};

TEST(InThread, WithoutAThreadTheCallerDoesTheWork) {
  testing::internal::CaptureStdout();
  const auto caller = std::this_thread::get_id();
  std::future<bool> same;
  std::future<void> failing;
  {
    const NoThreads none;
    same = in_thread<bool>("a test", [&] { return std::this_thread::get_id() == caller; });
    failing = in_thread<void>("a test", [] { throw RunError("as it would in a thread"); });
  }
  EXPECT_THAT(testing::internal::GetCapturedStdout(), HasSubstr("no thread to be had for a test"));
  EXPECT_TRUE(same.get());
  EXPECT_THROW(failing.get(), RunError);
  EXPECT_FALSE(
      in_thread<bool>("a test", [&] { return std::this_thread::get_id() == caller; }).get());
}

/// A rank's box of a matrix that is full of the number of the step, large enough for a checksum in a
/// thread.
class Weights : public Stateful {
 public:
  Weights(std::int64_t rank, std::int64_t ranks) : rank_(rank), ranks_(ranks) {}
  std::string name() const override { return "model"; }
  void add_to(FlatState& state) override {
    StateTensor entry{{"weight"}, tensor};
    entry.box = nn::TensorBox{{kRows * ranks_, kColumns}, {kRows * rank_, 0}};
    state.tensors.push_back(std::move(entry));
  }

  static constexpr std::int64_t kRows = 4;
  static constexpr std::int64_t kColumns = 1 << 20;
  at::Tensor tensor = at::full({kRows, kColumns}, 0.0);

 private:
  std::int64_t rank_, ranks_;
};

class SaveWithoutThreads : public testing::TestWithParam<std::tuple<AsyncMode, std::int64_t>> {};

INSTANTIATE_TEST_SUITE_P(Modes, SaveWithoutThreads,
                         testing::Combine(testing::Values(AsyncMode::kDisabled, AsyncMode::kAsync,
                                                          AsyncMode::kAsyncWithPinnedMem),
                                          testing::Values(1, 2)));

/// The last rank has no threads, the others do.
TEST_P(SaveWithoutThreads, IsASaveAllTheSame) {
  const auto& [mode, ranks] = GetParam();
  const test::TemporaryFolder folder;
  test::on_ranks(ranks,
                 [&, mode = mode, ranks = ranks](std::int64_t rank, comm::ProcessGroup* group) {
                   config::Checkpoint config;
                   config.async_mode = mode;
                   config.keep_latest_k = 2;
                   CheckpointerSetup setup{base::posix_file_system(), config};
                   setup.folder = folder / "checkpoint";
                   setup.last_step = 100;
                   setup.ranks = group;
                   setup.rank = rank;
                   auto weights = std::make_unique<Weights>(rank, ranks);
                   const at::Tensor tensor = weights->tensor;
                   std::vector<std::unique_ptr<Stateful>> states;
                   states.push_back(std::move(weights));
                   Checkpointer checkpointer(std::move(setup), std::move(states));
                   std::optional<NoThreads> none;
                   if (rank == ranks - 1) none.emplace();
                   for (std::int64_t step = 1; step <= 4; ++step) {
                     checkpointer.before_change();
                     tensor.fill_(static_cast<double>(step));
                     checkpointer.save(step, SaveReason::kInterval);
                   }
                   checkpointer.finish();
                 });
  const RunCheckpoints run(base::posix_file_system(), folder / "checkpoint");
  ASSERT_THAT(run.complete(), testing::SizeIs(2));
  for (const FoundCheckpoint& found : run.complete()) {
    const at::Tensor whole = at::full({Weights::kRows * ranks, Weights::kColumns}, 0.0);
    std::vector<StateTensor> targets = {{{"weight"}, whole}};
    const NoThreads none;
    DcpCheckpoint(base::posix_file_system(), found.path).read(targets, nullptr);
    EXPECT_TRUE(whole.eq(static_cast<double>(found.step)).all().item<bool>()) << found.step;
  }
}

}  // namespace
}  // namespace titan::components
