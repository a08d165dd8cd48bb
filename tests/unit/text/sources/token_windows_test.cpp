#include <gtest/gtest.h>

#include <numeric>

#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/file_system.h"
#include "titan/text/sources/document_source.h"
#include "unit/text/data/data_test_support.h"
#include "unit/text/sources/source_checks.h"
#include "unit/text/sources/token_bytes.h"

namespace titan::text {
namespace {

using test::bytes_of;
using test::llm_c_file;
using test::message_of;
using test::read_units;
using test::Units;
using test::write_file;
using Ids = std::vector<std::int64_t>;

class TokenWindowsTest : public ::testing::Test {
 protected:
  TokenWindowsTest() {
    options_.path = folder_.path();
    options_.tokens_per_window = 4;
  }
  std::unique_ptr<DocumentSource> open() {
    return open_source(base::posix_file_system(), options_);
  }
  std::string error(const std::string& name, const std::string& bytes) {
    write_file(folder_ / name, bytes);
    options_.path = folder_ / name;
    return message_of<RunError>([&] { open(); });
  }

  test::TemporaryFolder folder_;
  SourceOptions options_;
};

TEST_F(TokenWindowsTest, BareTokensComeInWindowsOfAFile) {
  write_file(folder_ / "a.u16", bytes_of<std::uint16_t>(Ids{1, 2, 3, 4, 5, 6}));
  write_file(folder_ / "b.u16", "");
  write_file(folder_ / "c.u16", bytes_of<std::uint16_t>(Ids{65535, 0}));
  const auto source = open();
  EXPECT_STREQ(source->units(), "windows");
  const Units units = read_units(*source);
  EXPECT_EQ(units, (Units{{"1 2 3 4 "}, {"5 6 "}, {"65535 0 "}}));
  EXPECT_EQ(source->unit_count(), 3);
  EXPECT_TRUE(test::reopens_everywhere(*source, units));
  EXPECT_THROW(source->open(0, 2, std::nullopt), RunError);
}

TEST_F(TokenWindowsTest, WideTokens) {
  write_file(folder_ / "a.u32", bytes_of<std::uint32_t>(Ids{4294967295, 7}));
  EXPECT_EQ(read_units(*open()), (Units{{"4294967295 7 "}}));
}

TEST_F(TokenWindowsTest, BothKindsOfLlmC) {
  write_file(folder_ / "gpt2_000.bin",
             llm_c_file(20240520, 1, 5, bytes_of<std::uint16_t>(Ids{50256, 1, 2, 3, 4})));
  write_file(folder_ / "llama_000.bin",
             llm_c_file(20240801, 7, 2, bytes_of<std::uint32_t>(Ids{128000, 9})));
  const auto source = open();
  const Units units = read_units(*source);
  EXPECT_EQ(units, (Units{{"50256 1 2 3 "}, {"4 "}, {"128000 9 "}}));
  EXPECT_TRUE(test::reopens_everywhere(*source, units));
}

TEST_F(TokenWindowsTest, AWindowLargerThanTheReadBuffer) {
  Ids ids(100'000);
  std::iota(ids.begin(), ids.end(), 0);
  write_file(folder_ / "a.u32", bytes_of<std::uint32_t>(ids));
  options_.tokens_per_window = 70'000;
  const auto source = open();
  ASSERT_TRUE(source->open(1, 0, std::nullopt));
  Document document;
  ASSERT_TRUE(source->next(document));
  EXPECT_EQ(document.tokens, Ids(ids.begin() + 70'000, ids.end()));
}

TEST_F(TokenWindowsTest, BinFilesWithAGivenFormat) {
  write_file(folder_ / "a.bin", bytes_of<std::uint16_t>(Ids{1, 2}));
  options_.format = config::DataFormat::kU16;
  EXPECT_EQ(read_units(*open()), (Units{{"1 2 "}}));
  options_.format = config::DataFormat::kAuto;
  EXPECT_NE(message_of<RunError>([&] { open(); }).find("Set data.format"), std::string::npos);
}

TEST_F(TokenWindowsTest, HeadersAndSizesAreChecked) {
  EXPECT_EQ(error("a.u16", "abc"),
            "'" + (folder_ / "a.u16") + "' has 3 bytes, which is not a number of 2-byte token ids");
  EXPECT_NE(error("a.u32", "").find("there are no windows"), std::string::npos);
  options_.format = config::DataFormat::kLlmC;
  const std::string no = "' is no token file of llm.c: ";
  const auto why = [&](const std::string& bytes) {
    const std::string message = error("a.bin", bytes);
    EXPECT_NE(message.find(no), std::string::npos) << message;
    return message.substr(message.find(no) + no.size());
  };
  const std::string two = bytes_of<std::uint16_t>(Ids{1, 2});
  EXPECT_EQ(why("short"), "it has 5 bytes, the header alone 1024");
  EXPECT_EQ(why(llm_c_file(7, 1, 2, two)), "it begins with 7, not 20240520 or 20240801");
  EXPECT_EQ(why(llm_c_file(20240520, 2, 2, two)), "its version is 2, not 1");
  for (const std::int32_t tokens : {3, 1, -2, INT32_MAX, INT32_MIN}) {
    EXPECT_NE(why(llm_c_file(20240520, 1, tokens, two)).find("but there are 4 bytes behind it"),
              std::string::npos);
  }
}

TEST_F(TokenWindowsTest, AFileThatChangesIsReported) {
  write_file(folder_ / "a.u16", bytes_of<std::uint16_t>(Ids{1, 2}));
  write_file(folder_ / "b.u16", bytes_of<std::uint16_t>(Ids{3}));
  const auto source = open();
  write_file(folder_ / "b.u16", "");
  EXPECT_NE(message_of<RunError>([&] { source->open(1, 0, std::nullopt); }).find("has changed"),
            std::string::npos);
}

TEST_F(TokenWindowsTest, PromptsAreForText) {
  write_file(folder_ / "a.u16", bytes_of<std::uint16_t>(Ids{1, 2}));
  options_.prompt_field = "prompt";
  EXPECT_NE(message_of<ConfigError>([&] { open(); }).find("data.prompt_field"), std::string::npos);
}

}  // namespace
}  // namespace titan::text
