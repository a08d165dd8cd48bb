#include "titan/formats/safetensors/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "fuzz/memory_file_system.h"
#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::formats {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

base::FileSystem& disk() { return base::posix_file_system(); }

std::string file_of(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return bytes + header + data;
}

/// What is wrong with a file.
std::string refusal(const std::string& bytes) {
  test::MemoryFileSystem files(bytes);
  return test::message_of<RunError>([&] { SafetensorsFile(files, "a.safetensors"); });
}

std::vector<SafetensorsTensor> two_tensors() {
  return {{"w", *find_dtype("float32"), {2, 3}}, {"b", *find_dtype("bfloat16"), {5}}};
}

TEST(Safetensors, WhatIsWrittenIsRead) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "model.safetensors";
  {
    SafetensorsWriter writer(disk(), path, two_tensors());
    writer.append("0123456789");
    writer.append("0123456789abcdABCDEFGHIJ");
    EXPECT_FALSE(disk().exists(path));
    writer.finish();
    EXPECT_FALSE(disk().exists(path));
    writer.publish();
  }
  EXPECT_THAT(disk().list_directory(folder.path()), ElementsAre("model.safetensors"));

  const SafetensorsFile file(disk(), path);
  ASSERT_EQ(file.tensors().size(), 2U);
  EXPECT_EQ(file.tensors()[0].name, "w");
  EXPECT_EQ(file.tensors()[0].start % 8, 0U);
  EXPECT_EQ(file.tensors()[1].dtype.name, "bfloat16");
  EXPECT_THAT(file.tensors()[1].sizes, ElementsAre(5));
  EXPECT_EQ(file.metadata().at("format"), "pt");
  std::string part(4, '\0');
  base::read_exactly(file.file(), file.tensors()[1].start + 6, part);
  EXPECT_EQ(part, "GHIJ");
}

TEST(Safetensors, AWriterThatDoesNotFinishLeavesNothing) {
  const test::TemporaryFolder folder;
  test::FaultyFileSystem broken;
  broken.leave_space(300);
  {
    SafetensorsWriter writer(broken, folder / "a.safetensors",
                             {{"w", *find_dtype("float32"), {100}}});
    const auto fill = [&] { writer.append(std::string(400, 'x')); };
    EXPECT_THAT(test::message_of<RunError>(fill), HasSubstr("No space left"));
    EXPECT_THROW(writer.append("x"), RunError);
  }
  EXPECT_THAT(disk().list_directory(folder.path()), ElementsAre());
}

TEST(Safetensors, EmptyTensorsAndScalarsHaveAPlace) {
  const std::string header =
      R"({"s":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"e":{"dtype":"F32","shape":[0,9],)"
      R"("data_offsets":[8,8]}, "f":{"dtype":"BOOL","shape":[3],"data_offsets":[8,11]}}   )";
  test::MemoryFileSystem files(file_of(header, std::string(11, 'x')));
  const SafetensorsFile file(files, "a");
  ASSERT_EQ(file.tensors().size(), 3U);
  EXPECT_EQ(file.tensors()[1].name, "e");
}

TEST(Safetensors, RefusesWhatDoesNotFillTheFile) {
  const auto two = [](const std::string& first, const std::string& second) {
    return R"({"a":{"dtype":"U8","shape":[4],"data_offsets":)" + first +
           R"(},"b":{"dtype":"U8","shape":[4],"data_offsets":)" + second + "}}";
  };
  const std::string eight(8, 'x');
  EXPECT_THAT(refusal(file_of(two("[0,4]", "[5,9]"), eight + "x")),
              AllOf(HasSubstr("a.safetensors"), HasSubstr("1 bytes before tensor 'b'")));
  EXPECT_THAT(refusal(file_of(two("[0,4]", "[3,7]"), eight)), HasSubstr("'b' overlaps 'a'"));
  EXPECT_THAT(refusal(file_of(two("[0,4]", "[4,8]"), eight + "y")),
              HasSubstr("1 bytes behind the last tensor"));
  EXPECT_THAT(refusal(file_of(two("[0,4]", "[4,8]"), "xxxxx")),
              HasSubstr("ends within tensor 'b': it should have 3 bytes more"));
  EXPECT_THAT(refusal(file_of(two("[4,0]", "[4,8]"), eight)), HasSubstr("'a': data_offsets"));
  EXPECT_THAT(refusal(file_of(two("[0,5]", "[5,9]"), eight + "x")),
              HasSubstr("'a': 5 bytes, but its shape and type ask for 4"));
}

TEST(Safetensors, RefusesHeadersThatSaySomethingElse) {
  const auto with = [](const std::string& entries) { return refusal(file_of(entries, "")); };
  const std::string empty = R"({"dtype":"F32","shape":[0],"data_offsets":[0,0]})";
  EXPECT_THAT(with("{\"a\":" + empty + ",\"a\":" + empty + "}"),
              HasSubstr("'a': the name is there twice"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[0]}})"), HasSubstr("no 'data_offsets'"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F4","shape":[0],"data_offsets":[0,0]}})"), HasSubstr("'F4'"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})"),
              HasSubstr("negative"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[1.5],"data_offsets":[0,0]}})"),
              HasSubstr("not whole"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,0]}})"),
              HasSubstr("more than any file has"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[18446744073709551615],"data_offsets":[0,0]}})"),
              HasSubstr("too large"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[[0]],"data_offsets":[0,0]}})"),
              HasSubstr("a list where none belongs"));
  EXPECT_THAT(with(R"({"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0],"x":"y"}})"),
              HasSubstr("a text where none belongs"));
  EXPECT_THAT(with(R"({"__metadata__":{"a":1}})"), HasSubstr("a number where none belongs"));
  EXPECT_THAT(with("[]"), HasSubstr("a list where none belongs"));
  EXPECT_THAT(with("{\"a\":"), HasSubstr("no JSON"));
  EXPECT_THAT(with(""), HasSubstr("no JSON"));
  EXPECT_THAT(with("{} x"), HasSubstr("no JSON"));
  EXPECT_THAT(with("{\"\xff\":1}"), HasSubstr("no JSON"));
}

TEST(Safetensors, RefusesLengthsThatAreNotThere) {
  EXPECT_THAT(refusal("abc"), HasSubstr("no safetensors file"));
  EXPECT_THAT(refusal(std::string("\x10\0\0\0\0\0\0\0{}", 10)), HasSubstr("a header of 16 bytes"));
  EXPECT_THAT(refusal("PK\3\4 a zip archive"), HasSubstr("the format allows"));
  EXPECT_THAT(refusal("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n"),
              HasSubstr("'a.safetensors' is a pointer of Git LFS"));
  EXPECT_THAT(refusal("<!DOCTYPE html><html>"), HasSubstr("is a page of HTML"));
  EXPECT_THAT(refusal(std::string("\x1f\x8b\x08\0\0\0\0\0 n", 10)), HasSubstr("with gzip"));
}

/// However a file is cut off or one of its bits is wrong: it is read as something that fits the file, or
/// refused.
TEST(Safetensors, DamagedHeadersAreReadOrRefused) {
  const std::string header =
      R"({"__metadata__":{"format":"pt"},"w":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]},)"
      R"("b":{"dtype":"BF16","shape":[5],"data_offsets":[24,34]}})";
  const std::string whole = file_of(header, std::string(34, 'x'));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    EXPECT_FALSE(refusal(whole.substr(0, size)).empty()) << size;
  }
  for (std::size_t bit = 0; bit < 8 * (8 + header.size()); ++bit) {
    std::string bytes = whole;
    bytes[bit / 8] = static_cast<char>(bytes[bit / 8] ^ (1 << bit % 8));
    test::MemoryFileSystem files(bytes);
    try {
      const SafetensorsFile file(files, "a");
      std::uint64_t sum = 0;
      for (const SafetensorsTensor& tensor : file.tensors()) sum += tensor.bytes();
      EXPECT_EQ(sum, 34U) << "bit " << bit;
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), HasSubstr("'a'"));
    }
  }
}

TEST(SafetensorsIndex, IsWrittenAndRead) {
  const test::TemporaryFolder folder;
  const std::string path = folder / std::string(kSafetensorsIndexName);
  const std::string first = safetensors_file_name(1, 2);
  EXPECT_EQ(first, "model-00001-of-00002.safetensors");
  write_safetensors_index(disk(), path, {34, {{"w", first}, {"b", safetensors_file_name(2, 2)}}});
  const SafetensorsIndex index = read_safetensors_index(disk(), path);
  EXPECT_EQ(index.total_bytes, 34U);
  EXPECT_EQ(index.file_by_name.at("w"), first);
  EXPECT_EQ(index.file_by_name.size(), 2U);
}

TEST(SafetensorsIndex, RefusesWhatIsNone) {
  const auto refused = [](const std::string& text) {
    test::MemoryFileSystem files(text);
    return test::message_of<RunError>([&] { read_safetensors_index(files, "i.json"); });
  };
  EXPECT_THAT(refused("{"), HasSubstr("not JSON"));
  EXPECT_THAT(refused("version https://git-lfs.github.com/spec/v1\n"), HasSubstr("Git LFS"));
  EXPECT_THAT(refused("[]"), HasSubstr("weight_map"));
  EXPECT_THAT(refused(R"({"weight_map":{}})"), HasSubstr("weight_map"));
  EXPECT_THAT(refused(R"({"weight_map":{"a":"../b.safetensors"}})"),
              HasSubstr("no name of a file"));
  EXPECT_THAT(refused(R"({"weight_map":{"a":1}})"), HasSubstr("no name of a file"));
  EXPECT_THAT(refused(R"({"weight_map":{"a":"b","a":"c"}})"), HasSubstr("'a' is there twice"));
  EXPECT_THAT(refused(std::string(100000, '[')), HasSubstr("nested too deeply"));
}

}  // namespace
}  // namespace titan::formats
