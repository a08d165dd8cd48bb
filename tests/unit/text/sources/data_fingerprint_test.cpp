#include "titan/text/sources/data_fingerprint.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "support/temporary_folder.h"
#include "titan/base/file_system.h"
#include "unit/text/data/data_test_support.h"

namespace titan::text {
namespace {

using test::write_file;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

/// The same path on two machines.
class DataFingerprintTest : public ::testing::Test {
 protected:
  std::string here() { return fingerprint(here_); }
  std::string there() { return fingerprint(there_); }
  void write_both(const std::string& name, const std::string& content) {
    write_file(here_ / name, content);
    write_file(there_ / name, content);
  }

  test::TemporaryFolder here_;
  test::TemporaryFolder there_;

 private:
  static std::string fingerprint(const test::TemporaryFolder& folder) {
    SourceOptions options;
    options.path = folder.path();
    return data_fingerprint(base::posix_file_system(), options);
  }
};

TEST_F(DataFingerprintTest, CopiesAreEqual) {
  write_both("a.jsonl", "one");
  write_both("b.jsonl", "two");
  write_file(here_ / "README", "only here, and no data");
  EXPECT_EQ(here(), there());
  EXPECT_THAT(here(), AllOf(StartsWith("contents "), HasSubstr("2 files"), HasSubstr("a.jsonl")));
}

TEST_F(DataFingerprintTest, OtherNamesSizesAndBytesAreNot) {
  write_both("a.jsonl", "one");
  write_file(there_ / "a.jsonl", "two");
  EXPECT_NE(here(), there()) << "bytes";
  write_file(there_ / "a.jsonl", "one ");
  EXPECT_NE(here(), there()) << "size";
  write_file(there_ / "a.jsonl", "one");
  EXPECT_EQ(here(), there());
  write_file(there_ / "b.jsonl", "");
  EXPECT_NE(here(), there()) << "a file more";
}

TEST_F(DataFingerprintTest, LargeDataIsLookedAtInManyPlaces) {
  const std::string large(20 << 20, 'x');
  write_both("a.txt", large);
  write_both("b.txt", "y");
  EXPECT_EQ(here(), there());
  for (const std::size_t begin :
       {std::size_t{0}, std::size_t{7} << 20, (std::size_t{20} << 20) - (1 << 19)}) {
    std::string other = large;
    other.replace(begin, 1 << 19, 1 << 19, 'z');  // more than lies between two places
    write_file(there_ / "a.txt", other);
    EXPECT_NE(here(), there()) << begin;
  }
  write_file(there_ / "a.txt", large);
  write_file(there_ / "b.txt", "z");
  EXPECT_NE(here(), there()) << "the last byte";
}

TEST_F(DataFingerprintTest, TheIndexOfAMegatronPairBelongsToIt) {
  write_both("a.bin", "tokens");
  write_file(here_ / "a.idx", "index 1");
  write_file(there_ / "a.idx", "index 2");
  EXPECT_NE(here(), there());
  write_file(there_ / "a.idx", "index 1");
  EXPECT_EQ(here(), there());
}

}  // namespace
}  // namespace titan::text
