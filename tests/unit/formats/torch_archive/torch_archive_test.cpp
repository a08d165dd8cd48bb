#include "titan/formats/torch_archive/torch_archive.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "fuzz/memory_file_system.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/sha256.h"
#include "titan/formats/torch_archive/crc32.h"
#include "titan/formats/torch_archive/torch_archive_writer.h"

namespace titan::formats {
namespace {

using testing::HasSubstr;

std::string small_tensor() {
  const std::string payload("\0\1\2\3\4\5\6\7\x8\x9\xa\xb", 12);
  TorchArchiveWriter archive = tensor_archive("bfloat16", {2, 3});
  const std::string begin = archive.begin();
  return begin + payload + archive.after_payload(crc32(payload));
}

/// What reading says: the elements, or an object's kind.
std::string read(const std::string& bytes, std::size_t offset = 0) {
  test::MemoryFileSystem files(bytes);
  const auto file = files.open_for_reading("f.distcp");
  const TorchArchive archive(*file, offset, bytes.size() - offset);
  const auto tensor = archive.tensor(archive.object());
  if (!tensor) return archive.object().kind();
  archive.check_storage(*tensor);
  std::string elements(tensor->data_bytes(), '\0');
  file->read_at(tensor->data_start(), elements);
  return concat(tensor->dtype.name, tensor->sizes.size(), tensor->sizes[0], elements);
}

TEST(TorchArchive, PayloadsLieAtMultiplesOf64AndTheSizeIsKnownBefore) {
  TorchArchiveWriter archive("\x80\x02N.", {0, 5, 64, 1});
  std::string file = archive.begin();
  for (const std::size_t size : {0, 5, 64, 1}) {
    EXPECT_EQ(file.size() % 64, 0);
    const std::string payload(size, 'p');
    file += payload + archive.after_payload(crc32(payload));
  }
  EXPECT_EQ(file.size(), archive.size());
  EXPECT_EQ(read(file), "None");
  EXPECT_THROW(archive.after_payload(0), InternalError);
  EXPECT_EQ(archive.begin(), file.substr(0, archive.begin().size())) << "it can be begun again";
}

// Around the payload of torch.save(torch.zeros(2**30 + 16)), PyTorch 2.11 writes 704 and 925 bytes
// of these SHA-256: sizes and positions beyond 32 bits.
TEST(TorchArchive, BeyondFourGigabytes) {
  TorchArchiveWriter archive = tensor_archive("float32", {(1 << 30) + 16});
  const std::string begin = archive.begin();
  const std::string end = archive.after_payload(0x1dcdf777);
  EXPECT_EQ(begin.size(), 704);
  EXPECT_EQ(end.size(), 925);
  EXPECT_EQ(archive.size(), 704 + (std::uint64_t{1} << 32) + 64 + 925);
  EXPECT_EQ(base::sha256_hex(begin),
            "3d95a72e9d3f26ca2fecee34f16917f89c61b1e700dc10693690f28c4148c979");
  EXPECT_EQ(base::sha256_hex(end),
            "e6ee08b6742fbde2fdb828f3b4d1eb2eebfdf70ad35d614ec663c604febd775f");
}

TEST(TorchArchive, AnEntryWithinAFile) {
  EXPECT_EQ(read("before" + small_tensor(), 6), read(small_tensor()));
}

TEST(TorchArchive, CutAnywhereIsAnError) {
  const std::string whole = small_tensor();
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THAT(test::message_of<RunError>([&] { read(whole.substr(0, size)); }),
                HasSubstr("'f.distcp', byte "))
        << size;
  }
}

TEST(TorchArchive, APointerOfGitLfsIsSaidToBeOne) {
  const std::string pointer =
      "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n";
  for (const std::size_t offset : {std::size_t{0}, pointer.size() + 1}) {
    EXPECT_THAT(test::message_of<RunError>([&] { read(pointer, offset); }),
                HasSubstr("'f.distcp' is a pointer of Git LFS"));
  }
}

TEST(TorchArchive, AFlippedBitIsAnErrorOrChangesNothing) {
  for (const std::string& whole : {small_tensor(), object_archive(PickleValue::integer(3))}) {
    const std::string expected = read(whole);
    int refused = 0;
    for (std::size_t bit = 0; bit < 8 * whole.size(); ++bit) {
      std::string damaged = whole;
      damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
      try {
        EXPECT_EQ(read(damaged), expected) << "bit " << bit;
      } catch (const RunError& error) {
        EXPECT_THAT(error.what(), HasSubstr("'f.distcp', byte "));
        ++refused;
      }
    }
    EXPECT_GT(refused, 1000);
  }
}

TEST(TorchArchive, TensorsThatDoNotFitTheirStorageAreRefused) {
  using Value = PickleValue;
  const auto refuse = [](std::int64_t first, std::vector<Value> sizes, std::vector<Value> strides) {
    const Value whole = tensor_object("int32", {6}, "0");
    std::vector<Value> args = whole.get_if<PickleObject>()->arguments();
    args[1] = Value::integer(first);
    args[2] = Value::tuple(std::move(sizes));
    args[3] = Value::tuple(std::move(strides));
    const Value view = Value::object(
        {.type = whole.get_if<PickleObject>()->type, .args = Value::tuple(std::move(args))});
    TorchArchiveWriter archive(write_pickle(view, 2), {24});
    const std::string begin = archive.begin();
    const std::string payload(24, '\0');
    const std::string file = begin + payload + archive.after_payload(crc32(payload));
    return test::message_of<RunError>([&] { read(file); });
  };
  const Value two = Value::integer(2);
  const Value huge = Value::integer(std::int64_t{1} << 62);
  EXPECT_THAT(refuse(5, {two}, {Value::integer(1)}), HasSubstr("beyond its storage '0' of 24"));
  EXPECT_THAT(refuse(0, {two}, {Value::integer(6)}), HasSubstr("beyond its storage"));
  EXPECT_THAT(refuse(0, {huge, huge}, {huge, huge}), HasSubstr("beyond its storage"));
  EXPECT_THAT(refuse(0, {huge, huge}, {Value::integer(0), Value::integer(0)}),
              HasSubstr("beyond its storage"));
  EXPECT_THAT(refuse(std::int64_t{1} << 62, {Value::integer(0)}, {two}), HasSubstr("beyond"));
  EXPECT_THAT(refuse(0, {two}, {}), HasSubstr("no numbers"));
  EXPECT_THAT(refuse(0, {two}, {Value::integer(-1)}), HasSubstr("no numbers"));
}

TEST(TorchArchive, AStorageIsAsLongAsItIsSaidToBe) {
  TorchArchiveWriter archive(write_pickle(tensor_object("int32", {6}, "0"), 2), {20});
  const std::string begin = archive.begin();
  const std::string payload(20, '\0');
  const std::string file = begin + payload + archive.after_payload(crc32(payload));
  EXPECT_THAT(test::message_of<RunError>([&] { read(file); }), HasSubstr("'data/0' has 20 bytes"));
}

}  // namespace
}  // namespace titan::formats
