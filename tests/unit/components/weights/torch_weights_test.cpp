#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/crashing_file_system.h"
#include "support/faulty_file_system.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/components/weights/open_weights.h"

namespace titan::components {
namespace {

using test::message_of;
using testing::HasSubstr;

struct Named {
  std::string name;
  at::Tensor tensor;
};

std::vector<Named> example() {
  const at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(5);
  const auto random = [&](at::IntArrayRef sizes, at::ScalarType type) {
    return at::randn(sizes, generator).mul(100).to(type);
  };
  return {{"tok_embeddings.weight", random({37, 8}, at::kFloat)},
          {"layers.0.wq.weight", random({4, 5, 6}, at::kBFloat16)},
          {"half", random({3}, at::kHalf)},
          {"count", random({}, at::kLong)},
          {"nothing", random({0, 4}, at::kFloat)}};
}

std::vector<WeightInfo> infos(const std::vector<Named>& tensors) {
  std::vector<WeightInfo> result;
  for (const Named& named : tensors) {
    result.push_back({named.name, named.tensor.scalar_type(), named.tensor.sizes().vec()});
  }
  return result;
}

void write(base::FileSystem& files, WeightsFormat format, const std::string& path,
           const std::vector<Named>& tensors) {
  const auto writer = create_weights(files, format, path, infos(tensors));
  for (const Named& named : tensors) writer->append(named.tensor);
  writer->finish();
}

at::Tensor read(const WeightsReader& weights, const WeightInfo& info) {
  const at::Tensor tensor = at::empty(info.sizes, at::dtype(info.dtype));
  weights.read(info.name, std::vector<std::int64_t>(info.sizes.size(), 0), tensor);
  return tensor;
}

void expect_example(base::FileSystem& files, const std::string& path) {
  const auto weights = open_weights(files, weights_format_of(files, path), path);
  const std::vector<Named> expected = example();
  ASSERT_EQ(weights->tensors().size(), expected.size());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const WeightInfo& info = weights->tensors()[i];
    EXPECT_EQ(info.name, expected[i].name);
    EXPECT_EQ(info.dtype, expected[i].tensor.scalar_type());
    EXPECT_TRUE(read(*weights, info).equal(expected[i].tensor)) << info.name;
  }
}

class TorchWeights : public testing::TestWithParam<WeightsFormat> {
 protected:
  TorchWeights() {
    disk_.create_directories("/out");
    disk_.sync_directory("/");
  }

  bool exists() { return disk_.exists(GetParam() == WeightsFormat::kPt ? path_ : metadata()); }
  std::string metadata() const { return path_ + "/.metadata"; }

  test::CrashingFileSystem disk_;
  std::string path_ = "/out/model";
};

TEST_P(TorchWeights, ComeBackAsTheyWere) {
  write(disk_, GetParam(), path_, example());
  expect_example(disk_, path_);
  disk_.crash();
  expect_example(disk_, path_);
}

TEST_P(TorchWeights, AreReadByBoxInAnyType) {
  write(disk_, GetParam(), path_, example());
  const auto weights = open_weights(disk_, GetParam(), path_);
  const at::Tensor whole = example()[1].tensor;
  for (const at::ScalarType type : {at::kBFloat16, at::kFloat, at::kDouble}) {
    const at::Tensor box = at::empty({2, 3, 4}, at::dtype(type));
    weights->read("layers.0.wq.weight", {1, 2, 1}, box);
    EXPECT_TRUE(
        box.equal(whole.narrow(0, 1, 2).narrow(1, 2, 3).narrow(2, 1, 4).to(type).contiguous()));
  }
}

TEST_P(TorchWeights, ThatWereNotFinishedDoNotExist) {
  {
    const auto writer = create_weights(disk_, GetParam(), path_, infos(example()));
    writer->append(example()[0].tensor);
    EXPECT_FALSE(exists());
  }
  EXPECT_TRUE(disk_.list_directory("/out").empty()) << "nothing is left";
}

TEST_P(TorchWeights, NothingIsOverwritten) {
  write(disk_, GetParam(), path_, {{"a", at::ones({2})}});
  EXPECT_THAT(message_of<RunError>([&] { write(disk_, GetParam(), path_, example()); }),
              HasSubstr("'/out/model' "));
  EXPECT_EQ(open_weights(disk_, GetParam(), path_)->tensors().size(), 1);
}

TEST_P(TorchWeights, AFullDiskIsToldBeforeAnythingIsWritten) {
  test::FaultyFileSystem full(disk_);
  full.leave_space(1000);
  EXPECT_THAT(message_of<RunError>([&] { write(full, GetParam(), path_, example()); }),
              HasSubstr("the disk has room for 1000"));
  EXPECT_FALSE(disk_.exists(path_));
}

TEST_P(TorchWeights, AreWholeOrNotThereWhateverCallFails) {
  int calls = 0;
  for (int nth = 1; nth == 1 || nth <= calls; ++nth) {
    test::CrashingFileSystem disk;
    disk.create_directories("/out");
    disk.sync_directory("/");
    test::FaultyFileSystem broken(disk);
    broken.fail_call(nth, EIO, /*more=*/1'000'000);
    EXPECT_THROW(write(broken, GetParam(), path_, example()), RunError) << nth;
    const std::string proof = GetParam() == WeightsFormat::kPt ? path_ : metadata();
    for (int crashes = 0; crashes < 2; ++crashes) {
      if (disk.exists(proof)) expect_example(disk, path_);
      disk.crash();
    }
    if (nth > 1) continue;
    test::FaultyFileSystem sound(disk);
    sound.create_directories("/out");
    write(sound, GetParam(), path_, example());
    calls = sound.calls() - 1;
  }
  EXPECT_GT(calls, 10);
}

TEST_P(TorchWeights, DamageIsNamed) {
  write(disk_, GetParam(), path_, {{"a", at::ones({1000})}});
  const bool is_file = GetParam() == WeightsFormat::kPt;
  const std::string file = is_file ? path_ : path_ + "/__0_0.distcp";
  std::string bytes = base::read_whole_file(disk_, file, 1 << 20);
  bytes[2000] = static_cast<char>(bytes[2000] ^ 1);
  disk_.open_for_writing(file, /*truncate=*/true)->append(bytes);
  const auto weights = open_weights(disk_, GetParam(), path_);
  const std::string message = message_of<RunError>([&] {
    read(*weights, {"a", at::kFloat, {1000}});
  });
  EXPECT_THAT(message, testing::AllOf(HasSubstr(file), HasSubstr("'a'"), HasSubstr("byte")));
  disk_.open_for_writing(file, /*truncate=*/true)->append(bytes.substr(0, 3000));
  EXPECT_THAT(message_of<RunError>([&] { open_weights(disk_, GetParam(), path_); }),
              HasSubstr(file));
}

TEST_P(TorchWeights, NoDamagedByteIsMoreThanAnError) {
  write(disk_, GetParam(), path_, {{"a", at::ones({3, 2})}, {"b", at::ones({})}});
  const std::string file = GetParam() == WeightsFormat::kPt ? path_ : metadata();
  const std::string bytes = base::read_whole_file(disk_, file, 1 << 20);
  const auto open_and_read = [&] {
    const auto weights = open_weights(disk_, GetParam(), path_);
    for (const WeightInfo& info : weights->tensors()) {
      std::int64_t elements = 1;
      for (const std::int64_t size : info.sizes) elements *= size;
      if (elements < 1000) read(*weights, info);
    }
  };
  int errors = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    for (const int flip : {1, 0x80, 0xff}) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ flip);
      disk_.open_for_writing(file, /*truncate=*/true)->append(damaged);
      try {
        open_and_read();
      } catch (const RunError&) {
        ++errors;
      }
    }
  }
  EXPECT_GT(errors, 500) << "of " << 3 * bytes.size();
}

INSTANTIATE_TEST_SUITE_P(Formats, TorchWeights,
                         testing::Values(WeightsFormat::kDcp, WeightsFormat::kPt),
                         [](const auto& test) {
                           return test.param == WeightsFormat::kPt ? "Pt" : "Dcp";
                         });

TEST(DcpWeights, OfATrainingCheckpointAreItsModelOnly) {
  test::CrashingFileSystem disk;
  write(disk, WeightsFormat::kDcp, "/step-10",
        {{"norm.weight", at::ones({3})},
         {"optimizer.state.norm.weight.exp_avg", at::ones({3})},
         {"train_state.loss", at::ones({})}});
  const auto weights = open_weights(disk, WeightsFormat::kDcp, "/step-10");
  ASSERT_EQ(weights->tensors().size(), 1);
  EXPECT_EQ(weights->tensors()[0].name, "norm.weight");
}

TEST(DcpWeights, MayStandBehindTheModelsName) {
  test::CrashingFileSystem disk;
  write(disk, WeightsFormat::kDcp, "/step-10", {{"model.norm.weight", at::ones({3})}});
  const auto weights = open_weights(disk, WeightsFormat::kDcp, "/step-10");
  EXPECT_EQ(weights->tensors()[0].name, "norm.weight");
  EXPECT_TRUE(read(*weights, weights->tensors()[0]).equal(at::ones({3})));
}

TEST(WeightsFormats, FollowFromWhatIsThere) {
  test::CrashingFileSystem disk;
  disk.create_directories("/run/checkpoint/step-5");
  disk.create_directories("/run/checkpoint/step-10");
  disk.create_directories("/hf");
  disk.open_for_writing("/hf/model.safetensors", true);
  EXPECT_EQ(weights_format_of(disk, "/hf"), WeightsFormat::kHf);
  EXPECT_THAT(message_of<RunError>([&] { weights_format_of(disk, "/none"); }),
              HasSubstr("'/none' does not exist"));
  EXPECT_THAT(message_of<RunError>([&] { weights_format_of(disk, "/run/checkpoint"); }),
              HasSubstr("it holds step-10 and 1 more, name one of them"));
  EXPECT_THAT(message_of<RunError>([&] { weights_format_of(disk, "/run/checkpoint/step-5"); }),
              HasSubstr("neither .metadata"));
}

}  // namespace
}  // namespace titan::components
