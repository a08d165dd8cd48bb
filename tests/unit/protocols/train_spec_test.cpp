#include "titan/protocols/train_spec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/models/llama3/args.h"
#include "titan/models/llama3/train_spec.h"

namespace titan::protocols {
namespace {

using test::message_of;
using ::testing::AllOf;
using ::testing::HasSubstr;

/// Builders that are there but never called.
TextBuilders builders() {
  TextBuilders result;
  result.build_optimizers = [](const ModelParts&, const comm::RankContext&,
                               const config::JobConfig&) { return nullptr; };
  result.build_lr_schedulers = [](Optimizers&, const config::JobConfig&) { return nullptr; };
  result.build_dataloader = [](DataPurpose, std::int64_t, std::int64_t, const Tokenizer*,
                               const config::JobConfig&) { return nullptr; };
  result.build_loss = [](const comm::RankContext&, const config::JobConfig&) {
    return LossFunction();
  };
  result.build_metrics_processor = [](const MetricsSetup&, const config::JobConfig&) {
    return nullptr;
  };
  return result;
}

class Registry : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    register_train_spec("mine", models::llama3::train_spec(builders()));
  }
};

TEST_F(Registry, ASpecOfOnesOwnIsFoundByItsName) {
  EXPECT_TRUE(get_train_spec("mine").parallelize);
  EXPECT_FALSE(get_train_spec("mine").build_step_runner) << "an optional part";
  EXPECT_EQ(get_model_args("mine", "70B")->vocab_size(), 128256);
}

TEST_F(Registry, AnUnknownNameOrFlavorListsTheKnownOnes) {
  EXPECT_THAT(message_of<ConfigError>([] { get_train_spec("yours"); }),
              AllOf(HasSubstr("TrainSpec yours is not registered"), HasSubstr("mine")));
  EXPECT_THAT(message_of<ConfigError>([] { get_model_args("mine", "9B"); }),
              AllOf(HasSubstr("9B"), HasSubstr("8B_varlen")));
}

TEST_F(Registry, ATakenNameIsRefused) {
  EXPECT_THAT(message_of<ConfigError>(
                  [] { register_train_spec("mine", models::llama3::train_spec(builders())); }),
              HasSubstr("already registered"));
}

TEST_F(Registry, ASpecWithoutAPartItNeedsIsRefused) {
  TrainSpec spec = models::llama3::train_spec(builders());
  spec.build_loss = nullptr;
  EXPECT_THAT(message_of<ConfigError>([&] { register_train_spec("other", spec); }),
              HasSubstr("not optional"));
}

TEST_F(Registry, EachLookUpOfArgumentsIsACopy) {
  const auto first = get_model_args("mine", "debugmodel");
  dynamic_cast<models::llama3::TransformerModelArgs&>(*first).vocabulary = 1;
  EXPECT_EQ(get_model_args("mine", "debugmodel")->vocab_size(), 2048);
}

}  // namespace
}  // namespace titan::protocols
