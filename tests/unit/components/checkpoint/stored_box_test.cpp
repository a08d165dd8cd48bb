#include "titan/components/checkpoint/stored_box.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <cstring>

#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_state.h"

namespace titan::components {
namespace {

using Sizes = std::vector<std::int64_t>;

/// A tensor's bytes as a file that counts what is read of it.
class CountingFile final : public base::ReadableFile {
 public:
  explicit CountingFile(const at::Tensor& whole) : whole_(whole) {}
  std::size_t read_at(std::uint64_t offset, std::span<char> out) const override {
    EXPECT_LE(offset + out.size(), size());
    std::memcpy(out.data(), static_cast<const char*>(whole_.const_data_ptr()) + offset, out.size());
    bytes_read += out.size();
    return out.size();
  }
  std::uint64_t size() const override { return whole_.nbytes(); }
  const std::string& path() const override { return path_; }

  mutable std::uint64_t bytes_read = 0;

 private:
  const at::Tensor& whole_;
  std::string path_ = "w";
};

/// Reads a box, checked against what slicing the tensor gives; returns how many bytes were read.
std::uint64_t read_and_check(const at::Tensor& whole, const Sizes& offsets, const Sizes& sizes,
                             at::ScalarType type, std::vector<ReadPart>* parts = nullptr) {
  const CountingFile file(whole);
  const formats::StoredTensor stored = {
      .dtype = *formats::find_dtype(dtype_name(whole.scalar_type())),
      .sizes = whole.sizes().vec(),
      .strides = whole.strides().vec(),
      .storage_bytes = whole.nbytes()};
  const at::Tensor box = at::empty(sizes, type);
  StoredBoxReader().read(file, stored, offsets, box, parts);
  at::Tensor expected = whole;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    expected = expected.narrow(static_cast<std::int64_t>(i), offsets[i], sizes[i]);
  }
  EXPECT_TRUE(box.equal(expected.to(type)))
      << whole.sizes() << " from " << c10::IntArrayRef(offsets) << ": " << box.sizes();
  return file.bytes_read;
}

TEST(StoredBox, EveryBoxOfASmallTensor) {
  const Sizes full = {2, 3, 4, 2};
  const at::Tensor whole = at::arange(48, at::kFloat).view(full);
  Sizes offsets(4, 0);
  Sizes sizes(4, 0);
  const std::function<void(std::size_t)> choose = [&](std::size_t i) {
    if (i == 4) {
      read_and_check(whole, offsets, sizes, at::kFloat);
      read_and_check(whole, offsets, sizes, at::kBFloat16);
      return;
    }
    for (offsets[i] = 0; offsets[i] < full[i]; ++offsets[i]) {
      for (sizes[i] = 0; sizes[i] <= full[i] - offsets[i]; ++sizes[i]) choose(i + 1);
    }
  };
  choose(0);
}

TEST(StoredBox, AScalar) {
  EXPECT_EQ(read_and_check(at::arange(1, at::kLong).squeeze(), {}, {}, at::kDouble), 8U);
}

/// More than a buffer full: rows; columns, read one by one or, where most is wanted, with what is in between.
TEST(StoredBox, LargeTensorsInPieces) {
  const at::Tensor whole = at::arange(5'000'000, at::kInt).view({1000, 5000});
  EXPECT_EQ(read_and_check(whole, {200, 0}, {500, 5000}, at::kInt), 10'000'000U);
  EXPECT_EQ(read_and_check(whole, {200, 0}, {500, 5000}, at::kDouble), 10'000'000U);
  EXPECT_EQ(read_and_check(whole, {0, 1000}, {1000, 1100}, at::kInt), 4'400'000U);
  EXPECT_LT(read_and_check(whole, {10, 1000}, {700, 7}, at::kFloat), 14'100'000U);
  EXPECT_EQ(read_and_check(whole.view({10, 500000}), {2, 5}, {3, 400000}, at::kDouble), 4'800'000U);
}

/// A row of 20 kB is read whole where its bytes are to be checked, and the parts are joined.
TEST(StoredBox, WholeRowsWhereTheyAreChecked) {
  const at::Tensor whole = at::arange(5'000'000, at::kInt).view({1000, 5000});
  std::vector<ReadPart> parts;
  EXPECT_EQ(read_and_check(whole, {0, 1000}, {1000, 1100}, at::kInt, &parts), 20'000'000U);
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(parts[0].end, 20'000'000U);
}

TEST(StoredBox, OfATransposedTensor) {
  const at::Tensor whole = at::arange(24, at::kFloat).view({4, 6}).t();
  std::vector<ReadPart> parts;
  read_and_check(whole, {0, 0}, {6, 4}, at::kFloat, &parts);
  ASSERT_EQ(parts.size(), 1U);
  EXPECT_EQ(parts[0].end, 96U);
  read_and_check(whole, {1, 2}, {4, 2}, at::kDouble);
}

}  // namespace
}  // namespace titan::components
