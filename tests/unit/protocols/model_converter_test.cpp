#include "titan/protocols/model_converter.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/config/job_config.h"

namespace titan::protocols {
namespace {

using ::testing::HasSubstr;

class Named : public ModelConverter {
 public:
  void convert(ModelProtocol&) override {}
};

config::JobConfig with(std::vector<std::string> converters) {
  config::JobConfig config;
  config.model.converters = std::move(converters);
  return config;
}

TEST(ModelConverters, AreFoundByNameInTheConfigsOrder) {
  std::vector<std::string> built;
  for (const std::string name : {"mine.first", "mine.second"}) {
    register_model_converter(name,
                             [&built, name](const config::JobConfig&, const comm::RankContext&) {
                               built.push_back(name);
                               return std::make_unique<Named>();
                             });
  }
  const comm::RankContext context;
  EXPECT_EQ(build_model_converters(with({"mine.second", "mine.first"}), context).size(), 2);
  EXPECT_EQ(built, (std::vector<std::string>{"mine.second", "mine.first"}));
  EXPECT_TRUE(build_model_converters(with({}), context).empty());

  EXPECT_THAT(test::message_of<ConfigError>([] { check_model_converters(with({"yours"})); }),
              HasSubstr("model.converters: converter yours is not registered. Registered: "
                        "mine.first, mine.second."));
  EXPECT_THAT(test::message_of<ConfigError>([] { register_model_converter("mine.first", {}); }),
              HasSubstr("already registered"));
}

}  // namespace
}  // namespace titan::protocols
