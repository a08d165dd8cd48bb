#include "components/weights/read_box.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/empty.h>
#include <gtest/gtest.h>

#include <cstring>
#include <map>

namespace titan::components {
namespace {

using Sizes = std::vector<std::int64_t>;

/// Reads a box and returns it, checked against what slicing the tensor gives; counts the bytes read.
std::uint64_t read_and_check(const at::Tensor& whole, const Sizes& offsets, const Sizes& sizes,
                             at::ScalarType type) {
  std::uint64_t bytes_read = 0;
  const auto read = [&](std::uint64_t begin, std::span<char> out) {
    ASSERT_LE(begin + out.size(), whole.nbytes());
    std::memcpy(out.data(), static_cast<const char*>(whole.const_data_ptr()) + begin, out.size());
    bytes_read += out.size();
  };
  const at::Tensor box = at::empty(sizes, type);
  read_box({"w", whole.scalar_type(), whole.sizes().vec()}, offsets, box, read);
  at::Tensor expected = whole;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    expected = expected.narrow(static_cast<std::int64_t>(i), offsets[i], sizes[i]);
  }
  EXPECT_TRUE(box.equal(expected.to(type)))
      << whole.sizes() << " from " << c10::IntArrayRef(offsets) << ": " << box.sizes();
  return bytes_read;
}

TEST(ReadBox, EveryBoxOfASmallTensor) {
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

TEST(ReadBox, AScalar) {
  EXPECT_EQ(read_and_check(at::arange(1, at::kLong).squeeze(), {}, {}, at::kDouble), 8U);
}

/// More than a buffer full: rows; columns, read one by one or, where most is wanted, with what is in between.
TEST(ReadBox, LargeTensorsInPieces) {
  const at::Tensor whole = at::arange(5'000'000, at::kInt).view({1000, 5000});
  EXPECT_EQ(read_and_check(whole, {200, 0}, {500, 5000}, at::kInt), 10'000'000U);
  EXPECT_EQ(read_and_check(whole, {200, 0}, {500, 5000}, at::kDouble), 10'000'000U);
  EXPECT_EQ(read_and_check(whole, {0, 1000}, {1000, 1100}, at::kInt), 4'400'000U);
  EXPECT_LT(read_and_check(whole, {10, 1000}, {700, 7}, at::kFloat), 14'100'000U);
  EXPECT_EQ(read_and_check(whole.view({10, 500000}), {2, 5}, {3, 400000}, at::kDouble), 5'600'000U);
}

}  // namespace
}  // namespace titan::components
