#include "titan/components/metrics/side_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <limits>
#include <memory>

#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

using testing::HasSubstr;

class SideFileTest : public testing::Test {
 protected:
  std::string content() {
    return base::read_whole_file(base::posix_file_system(), path_,
                                 std::numeric_limits<std::uint64_t>::max());
  }
  /// What the log says while `work` is done.
  template <class Work>
  static std::string said(const Work& work) {
    testing::internal::CaptureStdout();
    work();
    return testing::internal::GetCapturedStdout();
  }

  test::TemporaryFolder folder_;
  std::string path_ = folder_ / "hashes.jsonl";
  test::FaultyFileSystem files_;
};

TEST_F(SideFileTest, WhatCouldNotBeWrittenFollowsWhenThereIsRoom) {
  SideFile file(files_, path_, /*append=*/false);
  file.append("one\n");
  files_.leave_space(2);
  const std::string failing = said([&] {
    file.append("two\n");
    file.append("three\n");
  });
  EXPECT_THAT(failing, HasSubstr("No space left on device. Training continues"));
  EXPECT_EQ(failing.find("Training continues"), failing.rfind("Training continues"));
  files_.repair();
  EXPECT_THAT(said([&] { file.append("four\n"); }), HasSubstr("recording again"));
  EXPECT_EQ(content(), "one\ntwo\nthree\nfour\n");
}

TEST_F(SideFileTest, WhatIsLostInTheEndIsSaid) {
  auto file = std::make_unique<SideFile>(files_, path_, /*append=*/false);
  files_.leave_space(0);
  said([&] { file->append("one\n"); });
  EXPECT_THAT(said([&] { file.reset(); }), HasSubstr("Lost lines: 1"));
}

TEST_F(SideFileTest, GoesOnWithAFileOrEmptiesIt) {
  SideFile(files_, path_, /*append=*/false).append("one\n");
  SideFile(files_, path_, /*append=*/true).append("two\n");
  EXPECT_EQ(content(), "one\ntwo\n");
  SideFile(files_, path_, /*append=*/false).append("three\n");
  EXPECT_EQ(content(), "three\n");
  files_.fail_call(1, EACCES);
  EXPECT_THROW(SideFile(files_, path_, /*append=*/true), RunError);
}

}  // namespace
}  // namespace titan::components
