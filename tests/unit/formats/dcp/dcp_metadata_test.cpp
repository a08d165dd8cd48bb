#include "titan/formats/dcp/dcp_metadata.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <string>

#include "fuzz/memory_file_system.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/formats/pickle/pickle.h"

namespace titan::formats {
namespace {

using testing::HasSubstr;

/// A 4 x 6 tensor in four parts, an uneven one with an empty part, a scalar, and two values.
DcpMetadata example() {
  DcpTensor grid{.dtype = "bfloat16", .sizes = {4, 6}, .chunks = {}};
  for (const std::int64_t row : {2, 0}) {
    for (const std::int64_t column : {0, 3}) {
      grid.chunks.push_back({{row, column}, {2, 3}, {"__0_0.distcp", row * 1000 + column, 1577}});
    }
  }
  const DcpTensor uneven{.dtype = "float32",
                         .sizes = {1, 3},
                         .chunks = {{{0, 0}, {1, 3}, {"__0_0.distcp", 9000, 1577}},
                                    {{1, 0}, {0, 3}, {"__1_0.distcp", 0, 1513}}}};
  const DcpTensor scalar{
      .dtype = "float32", .sizes = {}, .chunks = {{{}, {}, {"__1_0.distcp", 1513, 1577}}}};
  return {.entries = {{"w", grid, DcpPath{"w"}},
                      {"layers.0.uneven", uneven, DcpPath{"layers", 0, "uneven"}},
                      {"optimizer.state.w.step", scalar, std::nullopt},
                      {"train_state.step", DcpBytes{{"__0_0.distcp", 0, 1261}},
                       DcpPath{"train_state", "step"}}},
          .folder = {"/", "data", "step-7"},
          .save_id = "e5886b90-c962-4ec8-9c23-f5363849e9a1"};
}

TEST(DcpMetadata, ComesBack) {
  const DcpMetadata metadata = example();
  EXPECT_EQ(read_dcp_metadata(write_dcp_metadata(metadata), ".metadata"), metadata);
  EXPECT_EQ(read_dcp_metadata(write_dcp_metadata({}), ".metadata"), DcpMetadata{});
  EXPECT_EQ(metadata.find("w")->tensor()->dtype, "bfloat16");
  EXPECT_EQ(metadata.find("train_state.step")->bytes()->place.length, 1261);
  EXPECT_EQ(metadata.find("v"), nullptr);
}

TEST(DcpMetadata, WhatIsWrongIsRefusedWithItsKey) {
  const auto refuse = [](const std::function<void(DcpTensor&)>& damage) {
    DcpMetadata metadata = example();
    damage(std::get<DcpTensor>(metadata.entries[0].value));
    return test::message_of<RunError>([&] { check_dcp_metadata(metadata); });
  };
  EXPECT_EQ(refuse([](DcpTensor& t) {
              t.chunks[1].offsets = {2, 2};
            }),
            "'w': the chunk at [2, 2] of size [2, 3] overlaps the chunk at [2, 0] of size [2, 3]");
  EXPECT_EQ(refuse([](DcpTensor& t) { t.chunks.pop_back(); }),
            "'w': 6 of its 24 elements are in no chunk");
  EXPECT_THAT(refuse([](DcpTensor& t) {
                t.chunks[1].offsets = {2, 4};
              }),
              HasSubstr("is not within the tensor, [4, 6]"));
  EXPECT_THAT(refuse([](DcpTensor& t) { t.chunks[1].offsets = {2}; }), HasSubstr("not within"));
  EXPECT_THAT(refuse([](DcpTensor& t) { t.chunks[1] = t.chunks[0]; }), HasSubstr("there twice"));
  EXPECT_THAT(refuse([](DcpTensor& t) { t.dtype = "float33"; }), HasSubstr("no known dtype"));
  EXPECT_THAT(refuse([](DcpTensor& t) {
                t.sizes = {1LL << 40, 1LL << 40};
              }),
              HasSubstr("too large"));
  for (const std::string name : {"", ".", "..", "a/b", "/etc/passwd", "../x"}) {
    EXPECT_THAT(refuse([&](DcpTensor& t) { t.chunks[0].place.file = name; }),
                HasSubstr("is no name of a file"));
  }
  EXPECT_THAT(refuse([](DcpTensor& t) { t.chunks[0].place.offset = -1; }), HasSubstr("no place"));
  EXPECT_THAT(refuse([](DcpTensor& t) { t.chunks[0].place.offset = INT64_MAX; }),
              HasSubstr("no place"));

  DcpMetadata twice = example();
  twice.entries.push_back(twice.entries[0]);
  EXPECT_EQ(test::message_of<RunError>([&] { check_dcp_metadata(twice); }),
            "'w': it is there twice");
}

/// The pickle with one text in it replaced by another of the same length.
std::string replaced(std::string from, std::string to) {
  std::string bytes = write_dcp_metadata(example());
  const std::size_t at = bytes.find(from);
  EXPECT_NE(at, std::string::npos);
  return bytes.replace(at, from.size(), to);
}

TEST(DcpMetadata, ErrorsSayTheWay) {
  const auto error_of = [](const std::string& bytes) {
    return test::message_of<RunError>([&] { read_dcp_metadata(bytes, "ck/.metadata"); });
  };
  EXPECT_THAT(error_of("version https://git-lfs.github.com/spec/v1\n"),
              HasSubstr("'ck/.metadata' is a pointer of Git LFS"));
  EXPECT_EQ(
      error_of(replaced("ChunkStorageMetadata", "PlainStorageMetadata")),
      "'ck/.metadata': it asks for torch.distributed.checkpoint.metadata.PlainStorageMetadata, "
      "which no metadata of PyTorch 2.11 has; it is refused");
  EXPECT_EQ(error_of(replaced("chunks", "chunkz")),
            "'ck/.metadata': Metadata: state_dict_metadata: w: 'chunks' is missing");
  EXPECT_THAT(error_of(replaced("torch.strided", "torch.sparse_")), HasSubstr("another layout"));
  EXPECT_EQ(error_of(write_pickle(PickleValue::integer(3), 4)),
            "'ck/.metadata': Metadata: expected an object of "
            "torch.distributed.checkpoint.metadata.Metadata, found int");
  EXPECT_THAT(error_of(""), HasSubstr("bad pickle: byte 0"));
}

TEST(DcpMetadata, CutOrDamagedItIsAnErrorOrStillMetadata) {
  const std::string bytes = write_dcp_metadata(example());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_THROW(read_dcp_metadata(bytes.substr(0, size), ".metadata"), RunError) << size;
  }
  int refused = 0;
  for (std::size_t bit = 0; bit < 8 * bytes.size(); ++bit) {
    std::string damaged = bytes;
    damaged[bit / 8] = static_cast<char>(damaged[bit / 8] ^ (1 << (bit % 8)));
    try {
      // There is no checksum: another letter of a key makes another key. All of it holds together.
      const DcpMetadata metadata = read_dcp_metadata(damaged, ".metadata");
      EXPECT_EQ(read_dcp_metadata(write_dcp_metadata(metadata), "again"), metadata) << bit;
    } catch (const RunError&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, static_cast<int>(4 * bytes.size()));
}

TEST(DcpMetadata, ChunksOfManyRanksAreCheckedFast) {
  DcpTensor tensor{.dtype = "float32", .sizes = {30000, 4}, .chunks = {}};
  for (std::int64_t i = 0; i < 30000; ++i) {
    tensor.chunks.push_back({{i * 7919 % 30000, 0}, {1, 4}, {"a", 0, 1}});
  }
  DcpMetadata metadata{.entries = {{"w", tensor, std::nullopt}}, .folder = {}, .save_id = ""};
  check_dcp_metadata(metadata);
  std::get<DcpTensor>(metadata.entries[0].value).chunks[5].sizes = {2, 4};
  EXPECT_THROW(check_dcp_metadata(metadata), RunError);
}

TEST(DcpMetadata, PlacesAreWithinTheFiles) {
  const auto error_of = [](std::size_t first, std::size_t second) {
    std::map<std::string, std::string> contents;
    contents["ck/__0_0.distcp"] = std::string(first, 'x');
    if (second > 0) contents["ck/__1_0.distcp"] = std::string(second, 'x');
    test::MemoryFileSystem files(contents);
    return test::message_of<RunError>([&] { check_dcp_files(files, "ck", example()); });
  };
  EXPECT_EQ(error_of(10577, 0), "'ck/__1_0.distcp' is missing; 'layers.0.uneven' is in it");
  EXPECT_EQ(error_of(10576, 3090),
            "'ck/__0_0.distcp' has 10576 bytes, but 'layers.0.uneven' is at bytes 9000 to 10577");
  test::MemoryFileSystem files(std::map<std::string, std::string>{
      {"ck/__0_0.distcp", std::string(10577, 'x')}, {"ck/__1_0.distcp", std::string(3090, 'x')}});
  EXPECT_NO_THROW(check_dcp_files(files, "ck", example()));
}

}  // namespace
}  // namespace titan::formats
