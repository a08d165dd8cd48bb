#include "text/sources/make_byte_stream.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <optional>
#include <random>

#include "fuzz/memory_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "unit/text/data/data_test_support.h"
#include "unit/text/sources/compress.h"

namespace titan::text {
namespace {

using test::gzip;
using test::message_of;
using test::zstd;

// Text that compresses, but not to nothing.
std::string sample(std::size_t size) {
  std::mt19937 random(7);
  std::string text;
  while (text.size() < size) text += std::to_string(random() % 1000) + " tokens\n";
  text.resize(size);
  return text;
}

class ByteStreamTest : public ::testing::Test {
 protected:
  std::unique_ptr<ByteStream> open(const std::string& name, const std::string& bytes) {
    files_.emplace(bytes);
    return make_byte_stream(files_->open_for_reading(name));
  }
  static std::string rest(ByteStream& stream, std::size_t step = 100'000) {
    std::string all;
    std::string buffer(step, '\0');
    while (const std::size_t count = stream.read(buffer)) all.append(buffer, 0, count);
    return all;
  }
  std::string error(const std::string& name, const std::string& bytes) {
    return message_of<RunError>([&] { rest(*open(name, bytes)); });
  }

  std::optional<test::MemoryFileSystem> files_;
};

TEST_F(ByteStreamTest, ReadsPlainGzipAndZstdAlike) {
  const std::string text = sample(3'000'000);
  for (const std::size_t step : {1'000'000, 4096, 1001}) {
    EXPECT_EQ(rest(*open("a", text), step), text);
    EXPECT_EQ(rest(*open("a.gz", gzip(text)), step), text);
    EXPECT_EQ(rest(*open("a.zst", zstd(text)), step), text);
  }
}

TEST_F(ByteStreamTest, MembersAndFramesBehindEachOtherAreOneContent) {
  const std::string first = sample(300'000);
  EXPECT_EQ(rest(*open("a.gz", gzip(first) + gzip("") + gzip("second") + std::string(512, '\0'))),
            first + "second");
  EXPECT_EQ(rest(*open("a.zst", zstd(first) + zstd("") + zstd("second"))), first + "second");
  EXPECT_EQ(rest(*open("b.gz", gzip(""))), "");
  EXPECT_EQ(rest(*open("b.zst", zstd(""))), "");
  EXPECT_EQ(rest(*open("b", "")), "");
}

TEST_F(ByteStreamTest, SeeksForwardsAndBackwards) {
  const std::string text = sample(1'000'000);
  for (const auto& [name, bytes] : std::vector<std::pair<std::string, std::string>>{
           {"a", text}, {"a.gz", gzip(text)}, {"a.zst", zstd(text)}}) {
    const auto stream = open(name, bytes);
    std::string ten(10, '\0');
    for (const std::size_t at : {0, 500'000, 500'010, 3, 999'990, 0}) {
      stream->seek(at);
      ASSERT_EQ(stream->read(ten), 10u);
      EXPECT_EQ(ten, text.substr(at, 10)) << name;
    }
    stream->seek(text.size());
    EXPECT_EQ(stream->read(ten), 0u);
    EXPECT_EQ(stream->read(ten), 0u);
    EXPECT_THROW(stream->seek(text.size() + 1), RunError);
  }
}

TEST_F(ByteStreamTest, EveryTruncationIsFound) {
  const std::string text = sample(2000);
  const std::string gz = gzip(text);
  const std::string zst = zstd(text);
  for (std::size_t size = 1; size < gz.size(); ++size) {
    EXPECT_NE(error("a.gz", gz.substr(0, size)).find("the file ends too early"), std::string::npos);
  }
  for (std::size_t size = 1; size < zst.size(); ++size) {
    EXPECT_NE(error("a.zst", zst.substr(0, size)).find("the file ends too early"),
              std::string::npos);
  }
}

TEST_F(ByteStreamTest, DamageIsReportedWithFileAndPlace) {
  const std::string gz = gzip("some text");
  const std::string at = "a.gz: damaged gzip data at byte ";
  const std::string size = std::to_string(gz.size());
  EXPECT_EQ(error("a.gz", ""), at + "0 of 0: the file is empty");
  EXPECT_EQ(error("a.gz", "some text"), at + "0 of 9: this is not gzip");
  EXPECT_EQ(error("a.gz", gz + "more"), at + size + " of " + std::to_string(gz.size() + 4) +
                                            ": there are other bytes behind the gzip data");
  std::string flipped = gz;
  flipped[flipped.size() - 8] ^= 1;
  EXPECT_EQ(error("a.gz", flipped),
            at + std::to_string(gz.size() - 4) + " of " + size + ": incorrect data check");

  EXPECT_EQ(error("a.zst", ""), "a.zst: damaged zstd data at byte 0 of 0: the file is empty");
  EXPECT_EQ(error("a.zst", "some text"),
            "a.zst: damaged zstd data at byte 0 of 9: Unknown frame descriptor");
  std::string frame = zstd(sample(2000));
  frame.back() ^= 1;
  EXPECT_NE(error("a.zst", frame).find("doesn't match checksum"), std::string::npos);
}

TEST_F(ByteStreamTest, FlippedBitsNeverPassUnnoticed) {
  const std::string text = sample(500);
  for (const bool is_gzip : {true, false}) {
    const std::string good = is_gzip ? gzip(text) : zstd(text);
    for (std::size_t bit = 0; bit < good.size() * 8; ++bit) {
      std::string bad = good;
      bad[bit / 8] = static_cast<char>(bad[bit / 8] ^ (1 << bit % 8));
      try {
        // A few bits say nothing about the content: the time stamp and the like.
        EXPECT_EQ(rest(*open(is_gzip ? "a.gz" : "a.zst", bad)), text) << bit;
      } catch (const RunError&) {
      }
    }
  }
}

TEST_F(ByteStreamTest, AZstdWindowIsBounded) {
  const std::string text = sample(1000);
  EXPECT_EQ(rest(*open("a.zst", zstd(text, 27))), text);
  EXPECT_NE(error("a.zst", zstd(text, 28)).find("a window of more than 128 MiB"),
            std::string::npos);
}

TEST_F(ByteStreamTest, ABombStreams) {
  // 256 MiB of zeros; a process that held it would show.
  const std::string zeros = gzip(std::string(64 << 20, '\0'));
  std::string bomb;
  for (int i = 0; i < 4; ++i) bomb += zeros;
  const auto stream = open("bomb.gz", bomb);
  std::string buffer(1 << 20, 'x');
  std::uint64_t total = 0;
  while (const std::size_t count = stream->read(buffer)) total += count;
  EXPECT_EQ(total, std::uint64_t{256} << 20);
}

TEST_F(ByteStreamTest, AFileThatShrinksIsReported) {
  const test::TemporaryFolder folder;
  test::write_file(folder / "a", sample(1'000'000));
  const auto stream = make_byte_stream(base::posix_file_system().open_for_reading(folder / "a"));
  std::string buffer(1000, '\0');
  stream->read(buffer);
  std::filesystem::resize_file(folder / "a", 10);
  EXPECT_NE(message_of<RunError>([&] { rest(*stream); }).find("became shorter while it was read"),
            std::string::npos);
}

}  // namespace
}  // namespace titan::text
