#include "titan/components/metrics/step_lines.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <vector>

#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

using testing::ElementsAre;

class StepLinesTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text) {
    files_.open_for_writing(folder_ / name, true)->append(text);
  }
  std::string read(const std::string& name) {
    return base::read_whole_file(files_, folder_ / name, 1 << 20);
  }
  std::vector<std::string> names() { return files_.list_directory(folder_.path()); }

  test::TemporaryFolder folder_;
  test::FaultyFileSystem files_;
  std::string path_ = folder_ / "metrics.jsonl";
};

constexpr const char* kThree = "{\"step\": 1}\n{\"step\": 2}\n{\"step\": 3}\n";

TEST_F(StepLinesTest, ARunThatBeginsFindsNoLinesAndLosesNone) {
  set_aside_steps_from(files_, path_, 0);
  EXPECT_THAT(names(), ElementsAre()) << "nothing was there";
  for (const char* text : {kThree, "of somebody else", "{\"step\": 1}\n"}) {
    write("metrics.jsonl", text);
    set_aside_steps_from(files_, path_, 0);
    set_aside_steps_from(files_, path_, 0);  // what is set aside stays as it is
  }
  EXPECT_THAT(names(), ElementsAre("metrics.1.jsonl", "metrics.2.jsonl", "metrics.3.jsonl"));
  EXPECT_EQ(read("metrics.1.jsonl"), kThree);
  EXPECT_EQ(read("metrics.2.jsonl"), "of somebody else");
  EXPECT_EQ(read("metrics.3.jsonl"), "{\"step\": 1}\n");
}

TEST_F(StepLinesTest, AnEmptyFileStays) {
  write("metrics.jsonl", "");
  set_aside_steps_from(files_, path_, 0);
  set_aside_steps_from(files_, path_, 5);
  EXPECT_THAT(names(), ElementsAre("metrics.jsonl"));
}

TEST_F(StepLinesTest, ARunThatGoesOnKeepsEarlierStepsInPlaceAndLaterOnesElsewhere) {
  write("metrics.jsonl", kThree);
  set_aside_steps_from(files_, path_, 4);
  EXPECT_THAT(names(), ElementsAre("metrics.jsonl"));
  set_aside_steps_from(files_, path_, 3);
  set_aside_steps_from(files_, path_, 2);
  EXPECT_THAT(names(), ElementsAre("metrics.1.jsonl", "metrics.2.jsonl", "metrics.jsonl"));
  EXPECT_EQ(read("metrics.jsonl"), "{\"step\": 1}\n");
  EXPECT_EQ(read("metrics.1.jsonl"), "{\"step\": 3}\n");
  EXPECT_EQ(read("metrics.2.jsonl"), "{\"step\": 2}\n");
}

TEST_F(StepLinesTest, AHalfLineGoesAndAStrangeOneIsKept) {
  write("metrics.jsonl", "{\"step\": 1}\n{\"step\": 2, \"lo");
  set_aside_steps_from(files_, path_, 2);
  EXPECT_EQ(read("metrics.jsonl"), "{\"step\": 1}\n");
  EXPECT_THAT(names(), ElementsAre("metrics.jsonl"));
  write("metrics.jsonl", "{\"step\": 1}\nmine\n[1]\n{\"step\": \"1\"}\n");
  set_aside_steps_from(files_, path_, 2);
  EXPECT_EQ(read("metrics.jsonl"), "{\"step\": 1}\n");
  EXPECT_EQ(read("metrics.1.jsonl"), "mine\n[1]\n{\"step\": \"1\"}\n");
}

TEST_F(StepLinesTest, ADeviceIsLeftAlone) {
  ASSERT_EQ(::symlink("/dev/null", path_.c_str()), 0);
  set_aside_steps_from(files_, path_, 0);
  set_aside_steps_from(files_, path_, 3);
  EXPECT_THAT(names(), ElementsAre("metrics.jsonl"));
}

TEST_F(StepLinesTest, NoFailedCallLosesALine) {
  write("metrics.jsonl", kThree);
  const int before = files_.calls();
  set_aside_steps_from(files_, path_, 2);
  const int calls = files_.calls() - before;
  for (int nth = 1; nth <= calls; ++nth) {
    for (const std::string& name : names()) files_.remove_file(folder_ / name);
    write("metrics.jsonl", kThree);
    files_.fail_call(nth, EIO);
    EXPECT_THROW(set_aside_steps_from(files_, path_, 2), RunError) << nth;
    files_.repair();
    std::string all;
    for (const std::string& name : names()) all += read(name);
    for (int step = 1; step <= 3; ++step) {
      EXPECT_NE(all.find(concat("{\"step\": ", step, "}\n")), std::string::npos) << nth;
    }
  }
}

}  // namespace
}  // namespace titan::components
