#include "titan/base/file_kind.h"

#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::base {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kPointer =
    "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n";

std::string_view kind_of(std::string_view front) {
  const auto kind = recognise_file(front);
  return kind ? kind->name : "";
}

TEST(FileKind, IsTheOneOfTheFirstBytes) {
  EXPECT_EQ(kind_of(kPointer), "Git LFS");
  EXPECT_EQ(kind_of("\n <!DOCTYPE html><html>"), "HTML");
  EXPECT_EQ(kind_of("<HTML>"), "HTML");
  EXPECT_EQ(kind_of("\x1f\x8b\x08"), "gzip");
  EXPECT_EQ(kind_of("\x28\xb5\x2f\xfd"), "zstd");
  EXPECT_EQ(kind_of("\xfd"
                    "7zXZ"),
            "xz");
  EXPECT_EQ(kind_of("BZh9"), "bzip2");
  EXPECT_EQ(kind_of("PK\x03\x04"), "zip");
  EXPECT_EQ(kind_of("PAR1"), "Parquet");
  EXPECT_EQ(kind_of("\xff\xfe{\0\"\0"sv), "UTF-16");
  EXPECT_EQ(kind_of("\xfe\xff\0{"sv), "UTF-16");
  EXPECT_EQ(kind_of("{\0\"\0t\0e\0"sv), "UTF-16");
  EXPECT_EQ(kind_of("\0{\0\"\0t\0e"sv), "UTF-16");
  EXPECT_EQ(kind_of("\xff\xfe\0\0{\0\0\0"sv), "UTF-16");
}

TEST(FileKind, OfOtherBytesIsNothing) {
  for (const std::string_view front :
       {""sv, "{\"text\": \"version https://git-lfs.github.com/spec/v1\"}"sv, "version 2"sv,
        "\xef\xbb\xbf{}"sv, "<p>"sv, "\x80\x04\x95"sv, "\0\0\0\0\0\0\0\0"sv, "a\0b\0"sv}) {
    EXPECT_EQ(kind_of(front), "") << front;
  }
}

TEST(FileKind, TheExpectedOneIsNotRefused) {
  EXPECT_EQ(test::message_of<RunError>([] { refuse_other_kind("a.json", kPointer); }),
            "'a.json' is a pointer of Git LFS, not the file itself: run 'git lfs pull' in its "
            "repository, or download the file again");
  EXPECT_NO_THROW(refuse_other_kind("a.gz", "\x1f\x8b\x08", "gzip"));
  EXPECT_THROW(refuse_other_kind("a.gz", kPointer, "gzip"), RunError);
  EXPECT_NO_THROW(refuse_other_kind("a.bin", "\x1f\x8b\x08", "", /*is_binary=*/true));
  EXPECT_THROW(refuse_other_kind("a.bin", kPointer, "", /*is_binary=*/true), RunError);
}

}  // namespace
}  // namespace titan::base
