#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "unit/config/config_files.h"

namespace titan::config {
namespace {

TEST(TomlProblems, AllAreReportedInOneGoWithTheirPositions) {
  ConfigFiles files(R"(
[trainning]
steps = 1

[training]
stepz = 10
seq_len = 1.5
steps = "abc"
local_batch_size = 0
device = "gpu"
  max_norm = nan
dataset_path = 7

[checkpoint]
interval = true
)");
  EXPECT_EQ(test::message_of<ConfigError>([&] {
              files.parse({"--job.config_file=config.toml", "--training.lr=3"});
            }),
            "10 problems in the configuration:\n"
            "  --training.lr=3: unknown option; did you mean 'optimizer.lr'?\n"
            "  config.toml:2:2: unknown section \"trainning\"; did you mean 'training'?\n"
            "  config.toml:6:1: unknown option \"stepz\" in [training]; did you mean "
            "'training.steps'?\n"
            "  config.toml:7:11: training.seq_len must be an integer, got the float 1.5\n"
            "  config.toml:8:9: training.steps must be an integer, got the string \"abc\"\n"
            "  config.toml:9:20: training.local_batch_size must be at least 1, got 0\n"
            "  config.toml:10:10: training.device must be \"auto\", \"cpu\" or \"cuda\", got "
            "\"gpu\"; did you mean 'cpu'?\n"
            "  config.toml:11:14: training.max_norm must be greater than 0, got nan\n"
            "  config.toml:12:16: training.dataset_path must be a string or \"None\", got the "
            "integer 7\n"
            "  config.toml:15:12: checkpoint.interval must be an integer, got true");
}

TEST(TomlProblems, TheyJoinThoseOfTheRules) {
  ConfigFiles files("[training]\nstepz = 10\nseq_len = 2047\n[fault_tolerance]\nenable = true\n");
  EXPECT_THAT(
      files.problems(),
      testing::AllOf(testing::HasSubstr("config.toml:2:1: unknown option"),
                     testing::HasSubstr("config.toml:3:11: training.seq_len (2047)"),
                     testing::HasSubstr("config.toml:5:10: fault_tolerance.enable = true: not")));
}

struct Case {
  const char* toml;
  const char* problem;
};

class OneTomlProblem : public testing::TestWithParam<Case> {};

TEST_P(OneTomlProblem, IsExplained) {
  EXPECT_EQ(ConfigFiles(GetParam().toml).problems(),
            std::string("  config.toml:") + GetParam().problem);
}

INSTANTIATE_TEST_SUITE_P(
    Toml, OneTomlProblem,
    testing::Values(
        Case{"steps = 1", "1:1: unknown key \"steps\"; did you mean 'training.steps'?"},
        Case{"[optimiser]\nlr = 1",
             "1:2: unknown section \"optimiser\"; did you mean "
             "'optimizer'?"},
        Case{"[training.data_loader]\nx = 1",
             "1:11: unknown section \"data_loader\" in [training]; did you mean "
             "'training.dataloader'?"},
        Case{"[training]\ninterval = 3",
             "2:1: unknown option \"interval\" in [training]; did you mean "
             "'checkpoint.interval'?"},
        Case{"[training]\nzzzzzzzz = 3", "2:1: unknown option \"zzzzzzzz\" in [training]"},
        Case{"\"training.steps\" = 3",
             "1:1: unknown key \"training.steps\"; did you mean "
             "'training.steps'?"},
        Case{"training = 3", "1:12: training is a section: it must be a table, got the integer 3"},
        Case{"[[training]]\nsteps = 3",
             "1:1: training is a section: it must be a table, got an array"},
        Case{"[training]\ndataloader = \"x\"",
             "2:14: training.dataloader is a section: it must be a table, got the string \"x\""},
        Case{"[training]\nsteps.x = 3", "2:1: training.steps must be an integer, got a table"},
        Case{"[training]\nsteps = 2020-01-01",
             "2:9: training.steps must be an integer, got a date or time"},
        Case{"[training]\nmax_norm = \"1\"",
             "2:12: training.max_norm must be a number, got the string \"1\""},
        Case{"[optimizer]\nlr = -1e-3", "2:6: optimizer.lr must be at least 0, got -0.001"},
        Case{"[optimizer]\nlr = inf", "2:6: optimizer.lr must be at least 0, got inf"},
        Case{"[optimizer]\nbeta2 = 1.0", "2:9: optimizer.beta2 must be in [0, 1), got 1.0"},
        Case{"[optimizer]\nname = \"SGD\"",
             "2:8: optimizer.name must be \"Adam\" or \"AdamW\", got \"SGD\""},
        Case{"[training]\nglobal_batch_size = 0",
             "2:21: training.global_batch_size must be negative or at least 1, got 0"},
        Case{"[validation]\nsteps = 0", "2:9: validation.steps must be -1 or at least 1, got 0"},
        Case{"[activation_checkpoint]\nselective_ac_option = \"ops\"",
             "2:23: activation_checkpoint.selective_ac_option must be a positive number in "
             "digits, or op, got \"ops\""},
        Case{"[activation_checkpoint]\nmemory_budget = 1.5",
             "2:17: activation_checkpoint.memory_budget must be in [0, 1], got 1.5"},
        Case{"[compile]\ncomponents = [\"model\", 3]",
             "2:24: compile.components must be a list of strings, got the integer 3"},
        Case{"[compile]\ncomponents = [\"modle\"]",
             "2:14: compile.components must be \"model\", \"loss\" or \"optimizer\", got "
             "\"modle\"; did "
             "you mean 'model'?"},
        Case{"[model]\nconverters = [\"quantize.linear.fp8\"]",
             "2:14: model.converters must be \"quantize.linear.float8\", "
             "\"quantize.grouped_mm.float8\", \"quantize.linear.mx\", \"quantize.grouped_mm.mx\" "
             "or \"float8\", got \"quantize.linear.fp8\"; did you mean 'quantize.linear.mx'?"},
        Case{"[model]\nconverters = [\"mine\", \"quantise.linear.mx\"]",
             "2:14: model.converters must be \"quantize.linear.float8\", "
             "\"quantize.grouped_mm.float8\", \"quantize.linear.mx\", \"quantize.grouped_mm.mx\" "
             "or \"float8\", got \"quantise.linear.mx\"; did you mean 'quantize.linear.mx'?"},
        Case{"[parallelism]\ncontext_parallel_load_balancer = \"\"",
             "2:34: parallelism.context_parallel_load_balancer must be \"headtail\" or \"ptrr\" "
             "or None, got \"\""},
        Case{"[parallelism]\nmodule_fqns_per_model_part = [\"a\"]",
             "2:31: parallelism.module_fqns_per_model_part must be a list of strings or \"None\", "
             "got the string \"a\""},
        Case{"[job]\nconfig_file = \"x.toml\"",
             "2:15: job.config_file belongs on the command line; a file inherits from another "
             "with base = \"other.toml\" at its top"},
        Case{"[job]\ndescription = \"a\\u0000b\"",
             "2:15: job.description must be UTF-8 text without NUL"},
        Case{"[optimizer]\nparam_groups = [{ weight_decay = 0 }]",
             "2:17: optimizer.param_groups: every table needs a pattern"},
        Case{"[optimizer]\nparam_groups = [{ pattern = \"(\" }]",
             "2:29: optimizer.param_groups: pattern is not a regular expression: Mismatched '(' "
             "and ')' in regular expression"},
        Case{"[optimizer]\nparam_groups = [{ pattern = 3 }]",
             "2:29: optimizer.param_groups: pattern must be a string, got the integer 3"},
        Case{"[optimizer]\nparam_groups = [{ pattern = \"x\", weigth_decay = 0 }]",
             "2:34: unknown key \"weigth_decay\" in optimizer.param_groups; did you mean "
             "'weight_decay'?"},
        Case{"[data]\nmixture = [{ path = \"a\", format = \"megaton\" }]",
             "2:35: data.mixture: format must be a word of data.format; did you mean 'megatron'?"},
        Case{"[optimizer]\nparam_groups = [{ pattern = \"x\", lr_scale = -1 }]",
             "2:45: optimizer.param_groups: lr_scale must be a number of at least 0, got the "
             "integer -1"}));

}  // namespace
}  // namespace titan::config
