#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "components/weights/hf_files.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/weights/open_weights.h"

namespace titan::components {
namespace {

using formats::SafetensorsTensor;
using formats::write_safetensors_index;

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

base::FileSystem& disk() { return base::posix_file_system(); }

void write_file(const std::string& path, const std::vector<SafetensorsTensor>& tensors) {
  formats::SafetensorsWriter writer(disk(), path, tensors);
  for (const auto& tensor : tensors) writer.append(std::string(tensor.bytes(), '\0'));
  writer.finish();
  writer.publish();
}

SafetensorsTensor floats(const std::string& name, std::int64_t count) {
  return {name, *formats::find_dtype("float32"), {count}};
}

std::string refusal(const std::string& path) {
  return test::message_of<RunError>([&] { open_weights(disk(), WeightsFormat::kHf, path); });
}

TEST(HfWeights, WhatIsWrittenIsRead) {
  const test::TemporaryFolder folder;
  const std::string path = folder / "new/hf";
  const at::Tensor a = at::arange(12, at::kFloat).view({3, 4});
  const at::Tensor b = at::arange(5, at::kBFloat16);
  const auto writer = create_weights(disk(), WeightsFormat::kHf, path,
                                     {{"a", at::kFloat, {3, 4}}, {"b", at::kBFloat16, {5}}});
  writer->append(a);
  writer->append(b);
  EXPECT_THAT(refusal(path), HasSubstr("no Hugging Face weights"));
  writer->finish();
  EXPECT_THAT(disk().list_directory(path),
              ElementsAre("model-00001-of-00001.safetensors", "model.safetensors.index.json"));

  const auto reader = open_weights(disk(), WeightsFormat::kHf, path);
  ASSERT_EQ(reader->tensors().size(), 2U);
  EXPECT_EQ(reader->tensors()[1].dtype, at::kBFloat16);
  const at::Tensor box = at::zeros({2, 2});
  reader->read("a", {1, 2}, box);
  EXPECT_TRUE(box.equal(a.narrow(0, 1, 2).narrow(1, 2, 2)));
  const at::Tensor all = at::zeros({5}, at::kFloat);
  reader->read("b", {0}, all);
  EXPECT_TRUE(all.equal(b.to(at::kFloat)));

  const auto again = [&] { create_weights(disk(), WeightsFormat::kHf, path, {}); };
  EXPECT_THAT(test::message_of<RunError>(again), HasSubstr("is not empty"));
}

TEST(HfWeights, FilesStayBelowTheLimit) {
  const std::vector<WeightInfo> tensors = {{"a", at::kFloat, {10}},
                                           {"b", at::kFloat, {10}},
                                           {"large", at::kFloat, {100}},
                                           {"c", at::kBFloat16, {10}}};
  const std::vector<HfFile> files = plan_hf_files(tensors, 80);
  ASSERT_EQ(files.size(), 3U);
  EXPECT_EQ(files[0].name, "model-00001-of-00003.safetensors");
  EXPECT_EQ(files[0].tensors.size(), 2U);
  EXPECT_EQ(files[1].tensors[0].name, "large");
  EXPECT_EQ(index_of(files).total_bytes, 500U);
  EXPECT_EQ(index_of(files).file_by_name.at("c"), "model-00003-of-00003.safetensors");
  const std::vector<WeightInfo> same = {{"a", at::kFloat, {1}}, {"a", at::kFloat, {1}}};
  EXPECT_THROW(plan_hf_files(same), RunError);
  EXPECT_THROW(plan_hf_files({{"a", at::kComplexDouble, {1}}}), RunError);
}

TEST(HfWeights, AFolderWithoutIndex) {
  const test::TemporaryFolder folder;
  write_file(folder / "x.safetensors", {floats("a", 1)});
  write_file(folder / "y.safetensors", {floats("b", 2)});
  EXPECT_EQ(open_weights(disk(), WeightsFormat::kHf, folder.path())->tensors().size(), 2U);
  EXPECT_EQ(open_weights(disk(), WeightsFormat::kHf, folder / "y.safetensors")->tensors()[0].name,
            "b");
  write_file(folder / "z.safetensors", {floats("a", 1)});
  EXPECT_THAT(refusal(folder.path()),
              AllOf(HasSubstr("'a'"), HasSubstr("x.safetensors"), HasSubstr("z.safetensors")));
  write_file(folder / "model.safetensors", {floats("a", 1)});
  EXPECT_EQ(open_weights(disk(), WeightsFormat::kHf, folder.path())->tensors().size(), 1U);
}

TEST(HfWeights, AnIndexAndItsFilesMustAgree) {
  const test::TemporaryFolder folder;
  const std::string index = folder / std::string(formats::kSafetensorsIndexName);
  write_file(folder / "x.safetensors", {floats("a", 1), floats("more", 1)});
  write_safetensors_index(disk(), index, {0, {{"a", "x.safetensors"}, {"b", "x.safetensors"}}});
  EXPECT_THAT(refusal(folder.path()),
              AllOf(HasSubstr("b (not in x.safetensors)"), HasSubstr("more (not in the index)")));
  write_safetensors_index(disk(), index, {0, {{"a", "x.safetensors"}, {"b", "y.safetensors"}}});
  EXPECT_THAT(refusal(folder.path()), HasSubstr("not there: y.safetensors"));
  write_file(folder / "model.safetensors", {floats("a", 1)});
  EXPECT_THAT(refusal(folder.path()), HasSubstr("remove one of them"));
  EXPECT_THAT(refusal(folder / "none"), HasSubstr("does not exist"));
}

// Tensors of a second training, say, in a file of their own beside the first one's.
TEST(HfWeights, OfATensorInTwoFilesItIsSaidWhichOneTheIndexNames) {
  const test::TemporaryFolder folder;
  const std::string index = folder / std::string(formats::kSafetensorsIndexName);
  write_file(folder / "x.safetensors", {floats("a", 1), floats("b", 1)});
  write_file(folder / "y.safetensors", {floats("a", 1)});
  write_safetensors_index(disk(), index, {0, {{"a", "y.safetensors"}, {"b", "x.safetensors"}}});
  EXPECT_THAT(refusal(folder.path()),
              AllOf(HasSubstr("tensor 'a' is in"), HasSubstr("x.safetensors' and in"),
                    HasSubstr("y.safetensors'; the index names y.safetensors.")));
  write_file(folder / "y.safetensors", {floats("a", 1), floats("c", 1)});
  write_file(folder / "x.safetensors", {floats("b", 1), floats("c", 1)});
  EXPECT_THAT(refusal(folder.path()), HasSubstr("; the index does not name it"));
}

}  // namespace
}  // namespace titan::components
