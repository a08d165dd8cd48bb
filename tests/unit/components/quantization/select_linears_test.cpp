#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/converters.h"
#include "titan/nn/linear.h"

namespace titan::components {
namespace {

using config::Float8Recipe;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

/// Linear layers by name and sizes.
class Layers : public nn::Module {
 public:
  Layers() {
    const auto add = [&](const char* name, std::int64_t in, std::int64_t out) {
      add_child(name, std::make_unique<nn::Linear>(in, out, at::kFloat));
    };
    add("wq", 4096, 4096);
    add("odd", 24, 32);
    add("small", 1024, 4096);
    add("output", 4096, 128256);
  }

 protected:
  nn::Tensors forward(const nn::Inputs& inputs) override { return inputs.tensors; }
};

std::vector<std::string> converted(const std::vector<std::string>& filters, Float8Recipe recipe) {
  Layers model;
  std::vector<std::string> names;
  for (const auto& [name, module] : select_linears(model, filters, recipe).converted) {
    names.push_back(name);
  }
  return names;
}

TEST(SelectLinears, TakesThoseThatAreMultiplesOf16AndNotFiltered) {
  EXPECT_THAT(converted({}, Float8Recipe::kTensorwise), ElementsAre("wq", "small", "output"));
  EXPECT_THAT(converted({"output"}, Float8Recipe::kTensorwise), ElementsAre("wq", "small"));
}

TEST(SelectLinears, LeavesThoseTooSmallToGainWhenAsked) {
  EXPECT_THAT(converted({"auto_filter_small_kn"}, Float8Recipe::kTensorwise),
              ElementsAre("wq", "output"));
  EXPECT_THAT(converted({"auto_filter_small_kn", "output"}, Float8Recipe::kRowwise),
              ElementsAre("wq"));
  EXPECT_THAT(test::message_of<ConfigError>(
                  [] { converted({"auto_filter_small_kn"}, Float8Recipe::kRowwiseWithGwHp); }),
              HasSubstr("no auto_filter_small_kn"));
}

TEST(SelectLinears, SaysWhyALayerIsLeft) {
  Layers model;
  EXPECT_THAT(select_linears(model, {"output"}).left,
              ElementsAre(Pair("odd", HasSubstr("32 x 24, not multiples of 16")),
                          Pair("output", HasSubstr("filter_fqns has \"output\""))));
}

TEST(SelectLinears, TellsOfNamesThatNoLayerHas) {
  Layers model;
  EXPECT_THAT(select_linears(model, {"outputs", "auto_filter_small_kn", "w", "odd"}).unmatched,
              ElementsAre("outputs"));
}

}  // namespace
}  // namespace titan::components
