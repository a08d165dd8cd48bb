#include "titan/cuda/versions.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace titan::cuda {
namespace {

using testing::ElementsAre;
using testing::Pair;

TEST(Versions, NumbersAsTheLibrariesEncodeThem) {
  EXPECT_EQ(cuda_version_text(13000), "13.0");
  EXPECT_EQ(cuda_version_text(12080), "12.8");
  EXPECT_EQ(cudnn_version_text(91900), "9.19.0");
  EXPECT_EQ(nccl_version_text(22809), "2.28.9");
  EXPECT_EQ(nccl_version_text(21005), "2.10.5");
}

TEST(Versions, ThreeAreKnownWithoutAGpu) {
  EXPECT_THAT(compiled_versions(),
              ElementsAre(Pair("CUDA", testing::Not("")), Pair("cuDNN", testing::Not("")),
                          Pair("NCCL", testing::Not(""))));
}

TEST(Versions, ALoadedLibraryThatIsAnotherIsNamed) {
  EXPECT_THAT(
      with_loaded({{"CUDA", "13.0"}, {"cuDNN", "9.19.0"}, {"NCCL", "2.28.9"}},
                  {{"NCCL", "2.27.3"}, {"CUDA", "13.0"}, {"driver", "for CUDA up to 13.1"}}),
      ElementsAre(Pair("CUDA", "13.0"), Pair("cuDNN", "9.19.0"),
                  Pair("NCCL", "2.28.9 (loaded: 2.27.3)")));
}

/// Has one file, the one of the driver; a call it does not expect is a crash.
class DriverFiles : public base::FileSystem {
 public:
  explicit DriverFiles(std::string text) : text_(std::move(text)) {}
  bool exists(const std::string& path) override { return path == "/sys/module/nvidia/version"; }
  std::unique_ptr<base::ReadableFile> open_for_reading(const std::string&) override {
    return std::make_unique<Reader>(text_);
  }
  std::unique_ptr<base::WritableFile> open_for_writing(const std::string&, bool) override {
    return nullptr;
  }
  bool is_directory(const std::string&) override { return false; }
  std::vector<std::string> list_directory(const std::string&) override { return {}; }
  void create_directories(const std::string&) override {}
  void rename(const std::string&, const std::string&) override {}
  void remove_file(const std::string&) override {}
  void remove_directory(const std::string&) override {}
  void sync_directory(const std::string&) override {}

 private:
  /// As sysfs: says a page, has a line.
  class Reader : public base::ReadableFile {
   public:
    explicit Reader(std::string text) : text_(std::move(text)) {}
    std::size_t read_at(std::uint64_t offset, std::span<char> out) const override {
      return offset < text_.size() ? text_.copy(out.data(), out.size(), offset) : 0;
    }
    std::uint64_t size() const override { return 4096; }
    const std::string& path() const override { return text_; }

   private:
    std::string text_;
  };
  std::string text_;
};

TEST(DriverVersion, IsTheKernelModules) {
  DriverFiles files("580.65.06\n");
  EXPECT_EQ(driver_version(files), "580.65.06");
}

}  // namespace
}  // namespace titan::cuda
