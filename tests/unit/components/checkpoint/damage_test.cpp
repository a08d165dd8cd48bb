#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "support/faulty_file_system.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/formats/torch_archive/torch_archive.h"
#include "unit/components/checkpoint/example_state.h"

namespace titan::components {
namespace {

using formats::DcpPlace;

using test::Layout;
using testing::AllOf;
using testing::HasSubstr;

/// A checkpoint that two ranks saved, to be damaged.
class Damage : public testing::Test {
 protected:
  Damage() { test::save_example(files_, step_, Layout::kRows, 2); }

  std::string read(const std::string& name) {
    return base::read_whole_file(files_, step_ + "/" + name, 1 << 30);
  }
  void write(const std::string& name, const std::string& bytes) {
    base::write_file_atomically(files_, step_ + "/" + name, bytes);
  }
  std::string error_of_loading(Layout layout, std::int64_t ranks) {
    std::string first;
    test::on_ranks(ranks, [&](std::int64_t rank, comm::ProcessGroup* group) {
      const FlatState state = test::example_state(layout, rank, ranks, false);
      const std::string message = test::message_of<RunError>(
          [&] { DcpCheckpoint(files_, step_).read(state.tensors, group); });
      if (rank == 0) first = message;
    });
    return first;
  }

  base::FileSystem& files_ = base::posix_file_system();
  test::TemporaryFolder folder_;
  std::string step_ = folder_ / "step-1";
};

TEST_F(Damage, AFolderWithoutMetadataIsNoCheckpoint) {
  files_.remove_file(step_ + "/.metadata");
  EXPECT_EQ(error_of_loading(Layout::kRows, 1),
            "'" + step_ +
                "' is no checkpoint: it has no .metadata (a save that did not end leaves none)");
}

TEST_F(Damage, AMissingOrShortFileIsNamed) {
  const std::string bytes = read("__1_0.distcp");
  write("__1_0.distcp", bytes.substr(0, bytes.size() - 1));
  EXPECT_THAT(error_of_loading(Layout::kRows, 1),
              AllOf(HasSubstr("__1_0.distcp' has " + std::to_string(bytes.size() - 1) + " bytes"),
                    HasSubstr("is at bytes ")));
  files_.remove_file(step_ + "/__1_0.distcp");
  EXPECT_THAT(error_of_loading(Layout::kRows, 1), HasSubstr("__1_0.distcp' is missing; '"));
}

TEST_F(Damage, ADiskThatFailsIsNamed) {
  for (int n = 1; n < 400; ++n) {
    test::FaultyFileSystem broken;
    broken.fail_call(n, EIO);
    const FlatState state = test::example_state(Layout::kWhole, 0, 1, false);
    try {
      DcpCheckpoint(broken, step_).read(state.tensors, nullptr);
      EXPECT_GT(n, 20);
      return;
    } catch (const RunError& error) {
      EXPECT_THAT(error.what(), AllOf(HasSubstr(step_), HasSubstr("Input/output error")));
    }
  }
  FAIL() << "loading never ends";
}

/// Where the bytes of a tensor that only one rank wrote are in a file.
struct Payload {
  std::string file;
  std::size_t begin;
};

Payload find_payload(const std::string& step, const std::string& key, std::size_t chunk) {
  const DcpCheckpoint checkpoint(base::posix_file_system(), step);
  const DcpPlace& place = checkpoint.find(key)->tensor()->chunks[chunk].place;
  const auto file = base::posix_file_system().open_for_reading(step + "/" + place.file);
  const formats::TorchArchive archive(*file, place.offset, place.length);
  return {place.file, archive.tensor(archive.object())->storage_start};
}

TEST_F(Damage, AFlippedBitOfATensorIsFoundByAnyReaders) {
  const Payload payload = find_payload(step_, "layers.0.wq.weight", 1);
  std::string bytes = read(payload.file);
  bytes[payload.begin + 1000] ^= 4;
  write(payload.file, bytes);
  // One rank that reads all; ranks that read half a chunk each; parts of its rows.
  for (const auto& [layout, ranks] :
       std::initializer_list<std::pair<Layout, std::int64_t>>{{Layout::kWhole, 1},
                                                              {Layout::kRows, 2},
                                                              {Layout::kRows, 4},
                                                              {Layout::kRows, 3},
                                                              {Layout::kColumns, 2},
                                                              {Layout::kGrid, 4}}) {
    EXPECT_THAT(error_of_loading(layout, ranks),
                AllOf(HasSubstr("'layers.0.wq.weight': '" + step_ + "/" + payload.file +
                                "', byte " + std::to_string(payload.begin)),
                      HasSubstr("are damaged: their checksum is wrong")))
        << int(layout) << " on " << ranks;
  }
}

/// Every byte of a file, flipped: an error, or bytes that mean nothing (padding, checksums of the
/// small parts that were not read); never a crash or other values.
TEST_F(Damage, AnyFlippedBitIsAnErrorOrHarmless) {
  const std::string whole = read("__0_0.distcp");
  const FlatState expected = test::example_state(Layout::kWhole, 0, 1, true);
  int refused = 0;
  for (std::size_t at = 0; at < whole.size(); at += 11) {
    std::string bytes = whole;
    bytes[at] = static_cast<char>(bytes[at] ^ (1 << (at % 8)));
    write("__0_0.distcp", bytes);
    const FlatState state = test::example_state(Layout::kWhole, 0, 1, false);
    try {
      DcpCheckpoint(files_, step_).read(state.tensors, nullptr);
      test::expect_equal(state, expected);
    } catch (const RunError& error) {
      ++refused;
      ASSERT_THAT(error.what(), AllOf(HasSubstr("'" + step_ + "/__0_0.distcp', byte ")));
    }
    if (HasFailure()) FAIL() << "byte " << at;
  }
  EXPECT_GT(refused, 300);
}

TEST_F(Damage, ForeignBytesInAFileAreNamed) {
  const DcpPlace place =
      DcpCheckpoint(files_, step_).find("norm.weight")->tensor()->chunks[0].place;
  std::string bytes = read(place.file);
  std::memset(bytes.data() + place.offset, 'x', static_cast<std::size_t>(place.length));
  write(place.file, bytes);
  EXPECT_THAT(
      error_of_loading(Layout::kWhole, 1),
      AllOf(HasSubstr("'norm.weight': '" + step_ + "/" + place.file + "'"), HasSubstr("byte ")));
}

TEST_F(Damage, MetadataThatSaysOtherThanTheFilesIsNamed) {
  formats::DcpMetadata metadata = DcpCheckpoint(files_, step_).metadata();
  for (formats::DcpEntry& entry : metadata.entries) {
    if (entry.key == "norm.weight") std::get<formats::DcpTensor>(entry.value).dtype = "int32";
  }
  write(".metadata", formats::write_dcp_metadata(metadata));
  EXPECT_THAT(error_of_loading(Layout::kWhole, 1),
              AllOf(HasSubstr("'norm.weight': '" + step_ + "/__"),
                    HasSubstr("a tensor of float32 is saved here; .metadata says int32")));
}

TEST_F(Damage, ObjectsAreNamedToo) {
  const DcpCheckpoint checkpoint(files_, step_);
  EXPECT_EQ(test::message_of<RunError>([&] { checkpoint.object("norm.weight"); }),
            "the checkpoint '" + step_ + "' has no value 'norm.weight': it is a tensor");
  EXPECT_EQ(test::message_of<RunError>([&] { checkpoint.object("other"); }),
            "the checkpoint '" + step_ + "' has no value 'other'");
  const DcpPlace place = checkpoint.find("train_state.step")->bytes()->place;
  std::string bytes = read(place.file);
  bytes[static_cast<std::size_t>(place.offset) + 67] ^= 1;
  write(place.file, bytes);
  EXPECT_THAT(test::message_of<RunError>([&] { checkpoint.object("train_state.step"); }),
              HasSubstr("'train_state.step': '" + step_ + "/" + place.file + "', byte "));
}

}  // namespace
}  // namespace titan::components
