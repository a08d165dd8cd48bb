// The CUDA parts load and their process groups are found; without a GPU that is where it ends. With one, a
// group of one rank calls all that NCCL does (scripts/gpu_first_hour.sh).
#include "titan/comm/nccl_backend.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/full_like.h>
#include <dlfcn.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/comm/local_backend.h"

namespace titan::comm {
namespace {

using testing::HasSubstr;
using titan::test::message_of;

const c10::Device kDevice(c10::kCUDA, 0);

/// Beside this program, wherever both were copied.
std::string cuda_library() {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / "libtitan_cuda.so";
}

TEST(NcclBackend, WithoutTheCudaPartsItSaysSo) {
  if (dlsym(RTLD_DEFAULT, "titan_nccl_groups") != nullptr) GTEST_SKIP() << "they are loaded";
  LocalWorld world(1);
  EXPECT_THAT(message_of<RunError>([&] { make_nccl_backend(world.store(), 0, kDevice, {}); }),
              HasSubstr("need libtitan_cuda.so, which is not loaded"));
}

TEST(NcclBackend, ItsGroupsComeFromTheCudaParts) {
  void* library = dlopen(cuda_library().c_str(), RTLD_NOW | RTLD_GLOBAL);
  ASSERT_NE(library, nullptr) << dlerror();
  ::setenv("TORCH_FR_BUFFER_SIZE", "7", 1);
  LocalWorld world(1);
  const test::TemporaryFolder folder;
  const std::string prefix = folder / "traces/rank_";
  const auto backend = make_nccl_backend(world.store(), 0, kDevice, {500, prefix});
  EXPECT_EQ(backend->name(), "nccl");
  EXPECT_STREQ(std::getenv("TORCH_NCCL_ASYNC_ERROR_HANDLING"), "3");
  EXPECT_STREQ(std::getenv("TORCH_FR_BUFFER_SIZE"), "500");
  EXPECT_STREQ(std::getenv("TORCH_NCCL_DUMP_ON_TIMEOUT"), "1");
  EXPECT_EQ(std::getenv("TORCH_FR_DUMP_TEMP_FILE"), prefix);
  EXPECT_TRUE(base::posix_file_system().is_directory(folder / "traces"));
  EXPECT_EQ(std::getenv("NCCL_ALGO"), nullptr);
  if (access("/dev/nvidiactl", F_OK) == 0) GTEST_SKIP() << "there is a GPU";
  const auto make = [&] { backend->make_group("world", {0}, std::chrono::seconds(5), nullptr); };
  EXPECT_THAT(message_of<RunError>(make), HasSubstr("rank 0 cannot make group 'world': "));
}

TEST(NcclBackend, NoTracesMeansNoneAnywhere) {
  ASSERT_NE(dlopen(cuda_library().c_str(), RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
  LocalWorld world(1);
  make_nccl_backend(world.store(), 0, kDevice, {0, ""});
  EXPECT_STREQ(std::getenv("TORCH_FR_BUFFER_SIZE"), "0");
  EXPECT_STREQ(std::getenv("TORCH_NCCL_DUMP_ON_TIMEOUT"), "0");
}

TEST(NcclBackend, DeterminismKeepsSumsOutOfTheSwitches) {
  ASSERT_NE(dlopen(cuda_library().c_str(), RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
  LocalWorld world(1);
  make_nccl_backend(world.store(), 0, kDevice, {0, "", true});
  EXPECT_STREQ(std::getenv("NCCL_ALGO"), "^NVLS");
  ::setenv("NCCL_ALGO", "Ring", 1);
  make_nccl_backend(world.store(), 0, kDevice, {0, "", true});
  EXPECT_STREQ(std::getenv("NCCL_ALGO"), "Ring") << "what the user has chosen stays";
  ::unsetenv("NCCL_ALGO");
}

/// Keeps what it is to follow.
class Follower : public CollectiveObserver {
 public:
  std::uint64_t started(const CollectiveCall&) override { return 1; }
  bool follow(std::uint64_t, const CollectiveCall&, std::unique_ptr<UnderWay> work) override {
    followed = std::move(work);
    return true;
  }
  void finished(std::uint64_t) override {}
  std::string explain(std::uint64_t, const CollectiveCall&, std::string_view error) override {
    return std::string(error);
  }
  std::unique_ptr<UnderWay> followed;
};

class OneRankNccl : public testing::Test {
 protected:
  void SetUp() override {
    if (access("/dev/nvidiactl", F_OK) != 0) GTEST_SKIP() << "there is no GPU";
    // Before the first tensor: LibTorch looks for its CUDA half once.
    ASSERT_NE(dlopen(cuda_library().c_str(), RTLD_NOW | RTLD_GLOBAL), nullptr) << dlerror();
    backend_ = make_nccl_backend(world_.store(), 0, kDevice, {});
    group_ = backend_->make_group("world", {0}, std::chrono::seconds(60), nullptr);
  }

  at::Tensor numbers(std::int64_t count) const {
    return at::arange(count, at::TensorOptions().dtype(type_).device(kDevice));
  }
  at::Tensor nothing_yet(std::int64_t count) const { return at::full_like(numbers(count), -1); }

  LocalWorld world_{1};
  std::unique_ptr<Backend> backend_;
  std::unique_ptr<ProcessGroup> group_;
  at::ScalarType type_ = at::kFloat;
};

TEST_F(OneRankNccl, EveryCollectiveOfEveryType) {
  EXPECT_EQ(group_->device(), kDevice);
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16, at::kDouble, at::kLong}) {
    type_ = type;
    const at::Tensor expected = numbers(64);
    const at::Tensor tensor = numbers(64);
    group_->all_reduce(tensor).wait();
    group_->all_reduce(tensor, ReduceOp::kMax).wait();
    group_->broadcast(tensor, 0).wait();
    EXPECT_TRUE(tensor.equal(expected)) << type;

    const at::Tensor scalar = numbers(5)[4].clone();
    group_->all_reduce_coalesced({tensor, scalar}).wait();
    EXPECT_TRUE(tensor.equal(expected) && scalar.item<double>() == 4) << type;

    const at::Tensor gathered = nothing_yet(64);
    group_->all_gather(gathered, tensor).wait();
    EXPECT_TRUE(gathered.equal(expected)) << type;
    const at::Tensor scattered = nothing_yet(64);
    group_->reduce_scatter(scattered, tensor).wait();
    EXPECT_TRUE(scattered.equal(expected)) << type;
    const at::Tensor rows = nothing_yet(64).view({8, 8});
    group_->all_to_all(rows, tensor.view({8, 8}), {8}, {8}).wait();
    EXPECT_TRUE(rows.view(-1).equal(expected)) << type;
  }
  group_->barrier();
}

TEST_F(OneRankNccl, AnInputMayBeItsPlaceInTheOutput) {
  const at::Tensor tensor = numbers(64);
  group_->all_gather(tensor, tensor).wait();
  EXPECT_TRUE(tensor.equal(numbers(64)));
}

TEST_F(OneRankNccl, CollectivesRunBesideWhatIsQueuedAndTheirResultsAreWaitedFor) {
  std::vector<Work> works;
  std::vector<at::Tensor> outputs;
  for (int i = 0; i < 50; ++i) {
    outputs.push_back(nothing_yet(1 << 20));
    works.push_back(group_->all_gather(outputs.back(), numbers(1 << 20)));
  }
  for (Work& work : works) work.wait();
  for (const at::Tensor& output : outputs) EXPECT_TRUE(output.equal(numbers(1 << 20)));
}

TEST_F(OneRankNccl, TheEndOfACollectiveIsSeenWhenTheGpuComesThere) {
  Follower follower;
  const auto group = backend_->make_group("seen", {0}, std::chrono::seconds(60), &follower);
  const at::Tensor tensor = numbers(64);
  group->all_reduce(tensor).wait();  // makes the communicator
  EXPECT_TRUE(tensor.equal(numbers(64)));
  const at::Tensor matrix = numbers(1 << 26).view({8192, 8192});
  for (int i = 0; i < 20; ++i) matrix.mm(matrix);  // far more than the host needs to ask
  group->all_reduce(tensor).wait();
  EXPECT_FALSE(follower.followed->has_ended()) << "the wait has only ordered the stream";
  EXPECT_TRUE(tensor.equal(numbers(64)));
  EXPECT_TRUE(follower.followed->has_ended());
  follower.followed.reset();
  group->shut_down();
}

TEST_F(OneRankNccl, AGroupCanBeMadeTwice) {
  const auto again = backend_->make_group("world", {0}, std::chrono::seconds(60), nullptr);
  const at::Tensor tensor = numbers(8);
  Work first = group_->all_reduce(tensor);
  again->barrier();
  first.wait();
  EXPECT_TRUE(tensor.equal(numbers(8)));
}

}  // namespace
}  // namespace titan::comm
