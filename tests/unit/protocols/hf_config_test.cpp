#include "titan/protocols/hf_config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/base/errors.h"

namespace titan::protocols {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(HfConfig, SaysWhatDiffers) {
  const HfConfig config(R"({"dim": 8, "act": "gelu", "tied": true, "bias": true, "none": null,
                            "rope_parameters": {"factor": 2, "rope_theta": 5}})");
  std::vector<std::string> differences;
  config.compare("dim", 8, std::nullopt, differences);
  config.compare("none", 3, std::nullopt, differences);
  config.compare("rope_parameters.rope_theta", 5, std::nullopt, differences);
  config.compare("rope_parameters.gone.deeper", 5, std::nullopt, differences);
  config.compare_text("missing", "silu", differences);
  config.compare_flag("tied", true, false, differences);
  config.compare_absent("missing", differences);
  EXPECT_THAT(differences, IsEmpty());

  config.compare("dim", 9, std::nullopt, differences);
  config.compare("none", 3, 4, differences);
  config.compare("act", 3, std::nullopt, differences);
  config.compare("rope_parameters.factor", 3, std::nullopt, differences);
  config.compare_text("act", "silu", differences);
  config.compare_flag("tied", false, false, differences);
  config.compare_flag("missing", true, false, differences);
  config.compare_absent("bias", differences);
  EXPECT_THAT(
      differences,
      ElementsAre("dim is 8, in this model 9", "none is 4 (not said), in this model 3",
                  "act is no number", "rope scaling's factor is 2, in this model 3",
                  "act is \"gelu\", in this model \"silu\"", "tied is true, in this model false",
                  "missing is false (not said), in this model true",
                  "bias is true; this model has none"));
  EXPECT_THROW(HfConfig("[]"), RunError);
  EXPECT_THROW(HfConfig(std::string(100000, '[')), RunError);
}

/// `transformers` 4 and 5 say it in different places.
TEST(HfRope, IsFoundInBothPlaces) {
  const HfRope five(HfConfig(R"({"rope_parameters": {"rope_type": "yarn", "rope_theta": 3}})"));
  EXPECT_EQ(five.theta, "rope_parameters.rope_theta");
  EXPECT_EQ(five.scaling, "rope_parameters");
  EXPECT_EQ(five.type, "yarn");
  const HfRope four(HfConfig(R"({"rope_theta": 3, "rope_scaling": {"type": "linear"}})"));
  EXPECT_EQ(four.theta, "rope_theta");
  EXPECT_EQ(four.scaling, "rope_scaling");
  EXPECT_EQ(four.type, "linear");
  const HfRope none(HfConfig(R"({"rope_scaling": null})"));
  EXPECT_EQ(none.scaling, "");
  EXPECT_EQ(none.type, "default");
}

}  // namespace
}  // namespace titan::protocols
