#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/config/config_files.h"

namespace titan::config {
namespace {

TEST(Precedence, DefaultsAreTorchTitans) {
  const JobConfig config = ConfigFiles().load({}).config;
  EXPECT_EQ(config.model.name, "llama3");
  EXPECT_EQ(config.optimizer.lr, 8e-4);
  EXPECT_EQ(config.training.steps, 10000);
  EXPECT_EQ(config.training.mixed_precision_param, DType::kBFloat16);
  EXPECT_EQ(config.parallelism.data_parallel_shard_degree, -1);
  EXPECT_EQ(config.parallelism.context_parallel_load_balancer, LoadBalancer::kHeadTail);
  EXPECT_TRUE(config.activation_checkpoint.preserve_rng_state);
  EXPECT_EQ(config, JobConfig());
}

TEST(Precedence, TheCommandLineOutranksFilesAndLaterFilesEarlierOnes) {
  ConfigFiles files;
  files.write("first.toml", "[training]\nsteps = 1\nseq_len = 10\nlocal_batch_size = 100\n");
  files.write("second.toml", "[training]\nseq_len = 20\nlocal_batch_size = 200\n");
  const CommandLine line = files.load({"--training.local_batch_size=300", "--job.config_file",
                                       "first.toml", "--job.config-file=second.toml"});
  EXPECT_EQ(line.config.training.steps, 1);
  EXPECT_EQ(line.config.training.seq_len, 20);
  EXPECT_EQ(line.config.training.local_batch_size, 300);
  EXPECT_THAT(line.config.job.config_file, testing::ElementsAre("first.toml", "second.toml"));

  EXPECT_EQ(line.origins.of("training.steps"), "first.toml:2:9");
  EXPECT_EQ(line.origins.of("training.seq_len"), "second.toml:2:11");
  EXPECT_EQ(line.origins.of("training.local_batch_size"), "command line");
  EXPECT_EQ(line.origins.of("training.max_norm"), "default");
  EXPECT_THROW(line.origins.of("training.stpes"), InternalError);
}

TEST(Precedence, NestedTablesReachNestedSections) {
  ConfigFiles files(R"(
[training.dataloader]
num_workers = 3
prefetch_factor = 5
[quantize.linear.float8]
recipe_name = "rowwise"
[quantize]
grouped_mm.mx.fqns = "experts,shared"
grouped_mm.float8.fqns = ["experts"]
[validation.dataloader]
pin_memory = true
)");
  const JobConfig config = files.load({"--job.config_file=config.toml"}).config;
  EXPECT_EQ(config.training.dataloader.num_workers, 3);
  EXPECT_EQ(config.training.dataloader.prefetch_factor, 5);
  EXPECT_FALSE(config.training.dataloader.pin_memory);
  EXPECT_TRUE(config.validation.dataloader.pin_memory);
  EXPECT_EQ(config.quantize.linear.float8.recipe_name, Float8Recipe::kRowwise);
  EXPECT_THAT(config.quantize.grouped_mm.mx.fqns, testing::ElementsAre("experts", "shared"));
  EXPECT_THAT(config.quantize.grouped_mm.float8.fqns, testing::ElementsAre("experts"));
}

TEST(Precedence, AnIntegerWillDoForAFloat) {
  ConfigFiles files("[training]\nmax_norm = 2\n[optimizer]\nlr = 1\n");
  const JobConfig config = files.load({"--job.config_file=config.toml"}).config;
  EXPECT_EQ(config.training.max_norm, 2.0);
  EXPECT_EQ(config.optimizer.lr, 1.0);
}

TEST(Precedence, ParameterGroupsAreAnArrayOfTables) {
  ConfigFiles files(R"toml(
[[optimizer.param_groups]]
pattern = "(norm|bias)"
weight_decay = 0
[[optimizer.param_groups]]
pattern = "^output\\."
lr_scale = 0.5
)toml");
  const JobConfig config = files.load({"--job.config_file=config.toml"}).config;
  const ParamGroup norms{.pattern = "(norm|bias)", .weight_decay = 0.0, .lr_scale = {}};
  const ParamGroup output{.pattern = "^output\\.", .weight_decay = {}, .lr_scale = 0.5};
  EXPECT_THAT(config.optimizer.param_groups, testing::ElementsAre(norms, output));
}

TEST(Precedence, DeprecatedOptionsMoveWithAWarning) {
  ConfigFiles files(
      "[model]\ntokenizer_path = \"old\"\nhf_assets_path = \"new\"\nconverters = [\"float8\"]\n"
      "[experimental]\ncustom_args_module = \"mine\"\n");
  const CommandLine line = files.load({"--job.config_file=config.toml"});
  EXPECT_EQ(line.config.model.hf_assets_path, "old");
  EXPECT_EQ(line.config.model.tokenizer_path, std::nullopt);
  EXPECT_EQ(line.origins.of("model.hf_assets_path"), "config.toml:2:18");
  EXPECT_THAT(line.config.model.converters, testing::ElementsAre("quantize.linear.float8"));
  EXPECT_THAT(line.warnings,
              testing::ElementsAre(testing::HasSubstr("custom_args_module is deprecated"),
                                   testing::HasSubstr("config.toml:2:18: model.tokenizer_path"),
                                   testing::HasSubstr("config.toml:4:14: converter \"float8\"")));
}

}  // namespace
}  // namespace titan::config
