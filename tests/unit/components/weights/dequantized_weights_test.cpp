#include "titan/components/weights/dequantized_weights.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/rand.h>
#include <ATen/ops/randn.h>
#include <gtest/gtest.h>

#include <map>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::components {
namespace {

class InMemory : public WeightsReader {
 public:
  void add(const std::string& name, const at::Tensor& tensor) {
    infos_.push_back({name, tensor.scalar_type(), tensor.sizes().vec()});
    values_[name] = tensor;
  }
  const std::vector<WeightInfo>& tensors() const override { return infos_; }
  void read(const std::string& name, const std::vector<std::int64_t>& offsets,
            const at::Tensor& box) const override {
    at::Tensor part = values_.at(name);
    for (std::int64_t d = 0; d < box.dim(); ++d) {
      part = part.narrow(d, offsets.at(static_cast<std::size_t>(d)), box.size(d));
    }
    box.copy_(part);
    numbers_read += box.numel();
  }

  mutable std::int64_t numbers_read = 0;

 private:
  std::vector<WeightInfo> infos_;
  std::map<std::string, at::Tensor> values_;
};

TEST(DequantizedWeights, MultipliesBlocksWithTheirScales) {
  InMemory stored;
  const at::Tensor weight = at::randn({300, 200}).to(at::kFloat8_e4m3fn);
  const at::Tensor scales = at::rand({3, 2}) + 0.5;
  stored.add("a.weight", weight);
  stored.add("a.weight_scale_inv", scales);
  stored.add("norm.weight", at::randn({7}));
  const auto weights = as_dequantized_weights(stored);
  ASSERT_EQ(weights->tensors().size(), 2);
  EXPECT_EQ(weights->tensors()[0].dtype, at::kFloat);
  EXPECT_EQ(weights->tensors()[1].name, "norm.weight");
  for (const std::vector<std::int64_t>& box : {std::vector<std::int64_t>{0, 0, 300, 200},
                                               {100, 120, 60, 20},
                                               {256, 0, 44, 200},
                                               {127, 127, 1, 1}}) {
    const at::Tensor read = at::empty({box[2], box[3]});
    weights->read("a.weight", {box[0], box[1]}, read);
    for (std::int64_t i = 0; i < box[2]; ++i) {
      for (std::int64_t j = 0; j < box[3]; ++j) {
        const std::int64_t row = box[0] + i;
        const std::int64_t column = box[1] + j;
        ASSERT_EQ(read[i][j].item<float>(),
                  weight[row][column].item<float>() * scales[row / 128][column / 128].item<float>())
            << row << ", " << column;
      }
    }
  }
  const at::Tensor half = at::empty({300, 200}, at::kBFloat16);
  weights->read("a.weight", {0, 0}, half);
  const at::Tensor whole = at::empty({300, 200});
  weights->read("a.weight", {0, 0}, whole);
  EXPECT_TRUE(half.equal(whole.to(at::kBFloat16)));
}

TEST(DequantizedWeights, ReadsTheScalesOfABoxOnly) {
  InMemory stored;
  stored.add("a.weight", at::randn({1280, 640}).to(at::kFloat8_e4m3fn));
  stored.add("a.weight_scale_inv", at::rand({10, 5}));
  const auto weights = as_dequantized_weights(stored);
  const at::Tensor read = at::empty({64, 640});
  weights->read("a.weight", {200, 0}, read);
  EXPECT_EQ(stored.numbers_read, 64 * 640 + 2 * 5);
}

TEST(DequantizedWeights, FloatEightIsFound) {
  InMemory stored;
  stored.add("norm.weight", at::randn({7}));
  EXPECT_EQ(first_in_float8(stored), std::nullopt);
  stored.add("a.weight", at::randn({3, 3}).to(at::kFloat8_e4m3fn));
  EXPECT_EQ(first_in_float8(stored), "a.weight");
}

TEST(DequantizedWeights, ScalesAreThoseOfTheBlocks) {
  InMemory stored;
  const at::Tensor matrix = at::randn({300, 200}).to(at::kFloat8_e4m3fn);
  stored.add("a.weight", matrix);
  stored.add("a.weight_scale_inv", at::rand({2, 2}));
  stored.add("b.weight", matrix);
  stored.add("c.weight_scale_inv", at::rand({3, 2}));
  stored.add("d.weight", at::randn({300, 200}));
  stored.add("d.weight_scale_inv", at::rand({3, 2}));
  stored.add("e.weight", at::randn({4, 300, 200}).to(at::kFloat8_e4m3fn));
  stored.add("e.weight_scale_inv", at::rand({4, 3, 2}));
  stored.add("f.weight", matrix);
  stored.add("f.weight_scale_inv", at::ones({3, 2}, at::kLong));
  const std::string message = test::message_of<RunError>([&] { as_dequantized_weights(stored); });
  for (const char* problem :
       {"a.weight_scale_inv has sizes [2, 2]: no scales for blocks of 128 x 128 of a matrix [300, "
        "200]",
        "b.weight is float8, and there is no b.weight_scale_inv",
        "c.weight_scale_inv belongs to nothing", "d.weight has scales, but is Float and not float8",
        "e.weight_scale_inv has sizes [4, 3, 2]", "f.weight_scale_inv is Long"}) {
    EXPECT_NE(message.find(problem), std::string::npos) << problem << " in " << message;
  }
}

}  // namespace
}  // namespace titan::components
