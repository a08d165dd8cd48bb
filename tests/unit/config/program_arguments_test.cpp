#include <gtest/gtest.h>

#include "unit/config/config_files.h"

namespace titan::config {
namespace {

TEST(ProgramArguments, NameTheAction) {
  ConfigFiles files;
  EXPECT_EQ(files.parse({}).action, Action::kTrain);
  EXPECT_EQ(files.parse({"--check"}).action, Action::kCheck);
  EXPECT_EQ(files.parse({"--print-config"}).action, Action::kPrintConfig);
  EXPECT_EQ(files.parse({"--print_config"}).action, Action::kPrintConfig);
  EXPECT_EQ(files.parse({"--help-markdown"}).action, Action::kHelpMarkdown);
}

TEST(ProgramArguments, HelpAndVersionComeBeforeAnyComplaint) {
  ConfigFiles files;
  EXPECT_EQ(files.parse({"--nonsense", "-h", "--check"}).action, Action::kHelp);
  EXPECT_EQ(files.parse({"--help", "--version"}).action, Action::kHelp);
  EXPECT_EQ(files.parse({"--job.config_file=gone.toml", "--version"}).action, Action::kVersion);
}

TEST(ProgramArguments, WorldSizeIsForCheck) {
  ConfigFiles files;
  EXPECT_EQ(files.parse({"--check", "--world-size", "1"}).world_size, 1);
  EXPECT_EQ(files.parse({"--check", "--world_size=1"}, 8).world_size, 1);
  EXPECT_EQ(files.parse({"--check", "--world-size=8"}).world_size, 8);
  EXPECT_EQ(files.parse({"--check", "--world-size=8", "--parallelism.tensor_parallel_degree=4"})
                .config.parallelism.tensor_parallel_degree,
            4);
  EXPECT_EQ(files.problems({"--world-size=8"}),
            "  --world-size=8: only goes with --check, --estimate, --show-plan and schedule: a run "
            "takes its "
            "size from the launcher");
  EXPECT_EQ(files.problems({"--check", "--world-size", "0"}),
            "  --world-size=0: must be in [1, 1e+06], got 0");
  EXPECT_EQ(files.problems({"--check", "--world-size", "many"}),
            "  --world-size=many: must be an integer, got \"many\"");
  EXPECT_EQ(files.problems({"--world-size", "--check"}), "  --world-size=: needs a value");
}

TEST(ProgramArguments, ProcessesAreForTraining) {
  ConfigFiles files;
  const CommandLine one = files.parse({"--nproc", "1"});
  EXPECT_EQ(one.nproc, 1);
  EXPECT_EQ(one.world_size, 1) << "the ranks that are checked for";
  EXPECT_EQ(files.parse({}).nproc, std::nullopt);
  EXPECT_EQ(files.problems({"--check", "--nproc=1"}),
            "  --nproc=1: only goes with training and profile; --check has --world-size");
  EXPECT_EQ(files.problems({"--nproc", "0"}), "  --nproc=0: must be in [1, 1e+06], got 0");
  EXPECT_EQ(files.problems({"--nproc"}), "  --nproc=: needs a value");
}

TEST(ProgramArguments, AnEstimateIsForAnyNumberOfRanks) {
  const CommandLine line = ConfigFiles().parse({"--estimate", "--json", "--output=x.json"});
  EXPECT_EQ(line.action, Action::kEstimate);
  EXPECT_TRUE(line.json);
  EXPECT_EQ(line.output, "x.json");
  EXPECT_EQ(ConfigFiles().parse({"--memory_estimation.enable"}).action, Action::kEstimate);
  EXPECT_EQ(ConfigFiles().parse({"--memory_estimation.enable", "--check"}).action, Action::kCheck);
  EXPECT_EQ(ConfigFiles().problems({"--json"}),
            "  --json: only goes with --estimate, generate and profile");
  EXPECT_EQ(ConfigFiles().problems({"--estimate", "--check"}),
            "  --estimate: does not go with --check, --print-config or --show-lr");
}

TEST(ProgramArguments, APlanIsShownForAnyNumberOfRanks) {
  const CommandLine line = ConfigFiles().parse(
      {"--show-plan", "--world-size=16", "--parallelism.tensor_parallel_degree=2"});
  EXPECT_EQ(line.action, Action::kShowPlan);
  EXPECT_EQ(line.world_size, 16);
  EXPECT_EQ(ConfigFiles().parse({"--show_plan", "--memory_estimation.enable"}).action,
            Action::kShowPlan);
  EXPECT_EQ(ConfigFiles().parse({"--show-plan", "--training.dataset=c4"}).action, Action::kShowPlan)
      << "it reads no data";
  for (const char* other : {"--check", "--print-config", "--show-lr", "--estimate"}) {
    EXPECT_EQ(ConfigFiles().problems({"--show-plan", other}),
              "  --show-plan: does not go with --check, --print-config, --show-lr or --estimate");
  }
  EXPECT_EQ(ConfigFiles().problems({"--show-plan", "--json"}),
            "  --json: only goes with --estimate, generate and profile");
  EXPECT_EQ(ConfigFiles().problems({"--show-plan", "--output=x"}),
            "  --output=x: only goes with plot, tokenize, profile and --estimate");
  EXPECT_EQ(ConfigFiles().problems({"--show-plan", "--nproc=2"}),
            "  --nproc=2: only goes with training and profile; --check has --world-size");
}

TEST(ProgramArguments, CommandsStandInFront) {
  const CommandLine tokenize = ConfigFiles().parse(
      {"tokenize", "--output", "out/wiki", "--threads=3", "--training.dataset_path=a.jsonl"});
  EXPECT_EQ(tokenize.action, Action::kTokenize);
  EXPECT_EQ(tokenize.output, "out/wiki");
  EXPECT_EQ(tokenize.threads, 3);
  EXPECT_EQ(tokenize.config.training.dataset_path, "a.jsonl");
  const CommandLine plot = ConfigFiles().parse({"plot", "a", "--output=x.svg", "b/metrics.jsonl"});
  EXPECT_EQ(plot.action, Action::kPlot);
  EXPECT_EQ(plot.inputs, (std::vector<std::string>{"a", "b/metrics.jsonl"}));
  EXPECT_EQ(plot.output, "x.svg");
  const CommandLine profile = ConfigFiles().parse({"profile", "--json", "--nproc=2"});
  EXPECT_EQ(profile.action, Action::kProfile);
  EXPECT_TRUE(profile.json);
  EXPECT_EQ(profile.nproc, 2);
  EXPECT_EQ(ConfigFiles().parse({"--show-lr"}).action, Action::kShowLr);
  EXPECT_EQ(ConfigFiles().parse({"plot", "--help"}).action, Action::kHelp);
}

TEST(ProgramArguments, OptionsOfACommandGoWithItOnly) {
  EXPECT_EQ(ConfigFiles().problems({"--output=x"}),
            "  --output=x: only goes with plot, tokenize, profile and --estimate");
  EXPECT_EQ(ConfigFiles().problems({"--threads=2"}), "  --threads=2: only goes with tokenize");
  EXPECT_EQ(ConfigFiles().problems({"tokenize"}),
            "  tokenize: needs --output PATH: it writes PATH.bin and PATH.idx");
  EXPECT_EQ(ConfigFiles().problems({"plot", "--training.steps=3"}),
            "  --training.steps=3: is not an option of plot\n"
            "  plot: needs at least one run: its dump folder or metrics.jsonl; or the "
            "JSON of a comparison");
  EXPECT_EQ(ConfigFiles().problems({"--show-lr", "--check"}),
            "  --show-lr: does not go with --check or --print-config");
}

TEST(ProgramArguments, GenerateTakesACheckpointAndPrompts) {
  const CommandLine line =
      ConfigFiles().parse({"generate", "--checkpoint", "out/step-10", "--prompt", "[a, b]",
                           "--prompt=--x", "--prompt", "", "--temperature=0.5", "--top-k", "3",
                           "--max_tokens", "9", "--seed=0", "--json", "--model.flavor", "tiny"});
  EXPECT_EQ(line.action, Action::kGenerate);
  EXPECT_EQ(line.generate.checkpoint, "out/step-10");
  EXPECT_EQ(line.generate.prompts, (std::vector<std::string>{"[a, b]", "--x", ""}));
  EXPECT_EQ(line.generate.temperature, 0.5);
  EXPECT_EQ(line.generate.top_k, 3);
  EXPECT_EQ(line.generate.max_tokens, 9);
  EXPECT_EQ(line.generate.seed, 0);
  EXPECT_EQ(line.config.model.flavor, "tiny");
  EXPECT_TRUE(line.json);
  EXPECT_EQ(ConfigFiles().problems({"generate"}),
            "  generate: needs --checkpoint PATH: where the weights are\n"
            "  generate: needs --prompt TEXT: what to go on with");
  EXPECT_EQ(ConfigFiles().problems({"generate", "--checkpoint", "--prompt=x", "--temperature=-1",
                                    "--top-k=x", "--max-tokens=0", "--seed=-2"}),
            "  --checkpoint=: needs a value\n"
            "  --temperature=-1: must be at least 0, got -1.0\n"
            "  --top-k=x: must be an integer, got \"x\"\n"
            "  --max-tokens=0: must be at least 1, got 0\n"
            "  --seed=-2: must be at least 0, got -2");
  EXPECT_EQ(ConfigFiles().problems({"--prompt=x", "--seed=3"}),
            "  --prompt=x: only goes with generate\n"
            "  --seed=3: only goes with generate; training has --debug.seed");
}

TEST(ProgramArguments, LayoutsAndDataAreForTraining) {
  const std::vector<std::string> words = {"--parallelism.data_parallel_shard_degree=8",
                                          "--parallelism.tensor_parallel_degree=4",
                                          "--training.dataset=unknown"};
  std::vector<std::string> generate = {"generate", "--checkpoint=x", "--prompt=y"};
  std::vector<std::string> convert = {"convert", "--from=hf", "--to=pt", "a", "b"};
  for (std::vector<std::string>* command : {&generate, &convert}) {
    command->insert(command->end(), words.begin(), words.end());
    EXPECT_EQ(ConfigFiles().parse(*command, /*world_size=*/2).world_size, 1);
  }
  EXPECT_FALSE(ConfigFiles().problems(words).empty());
}

TEST(ProgramArguments, ConvertTakesTwoPathsAndTheirFormats) {
  const CommandLine line =
      ConfigFiles().parse({"convert", "--from", "hf", "a", "--model.flavor", "tiny", "--to=dcp",
                           "--debug.deterministic", "b", "--dtype=bfloat16"});
  EXPECT_EQ(line.action, Action::kConvert);
  EXPECT_EQ(line.convert.from, ModelFormat::kHf);
  EXPECT_EQ(line.convert.to, ModelFormat::kDcp);
  EXPECT_EQ(line.convert.source, "a");
  EXPECT_EQ(line.convert.destination, "b");
  EXPECT_EQ(line.convert.dtype, ExportDType::kBFloat16);
  EXPECT_EQ(line.config.model.flavor, "tiny");
  EXPECT_EQ(ConfigFiles().problems({"convert", "--from=hff", "a"}),
            "  convert: needs --to FORMAT: hf, dcp or pt\n"
            "  --from=hff: must be \"hf\", \"dcp\" or \"pt\", got \"hff\"; did you mean 'hf'?\n"
            "  convert: needs SOURCE and DESTINATION, got 1 path");
  EXPECT_EQ(ConfigFiles().problems({"--from=hf"}), "  --from=hf: only goes with convert");
}

TEST(ProgramArguments, ValuesOfOtherOptionsAreNotTakenForThem) {
  const CommandLine line = ConfigFiles().parse({"--job.description", "-hello", "--check"});
  EXPECT_EQ(line.action, Action::kCheck);
  EXPECT_EQ(line.config.job.description, "-hello");
}

TEST(ProgramArguments, PrintingAndCheckingExcludeEachOther) {
  EXPECT_EQ(ConfigFiles().problems({"--check", "--print-config"}),
            "  --print-config: does not go with --check");
}

TEST(ProgramArguments, ProblemsOfBothKindsAreReportedTogether) {
  EXPECT_EQ(ConfigFiles().problems({"--check", "--world-size=x", "--training.steps=x"}),
            "  --world-size=x: must be an integer, got \"x\"\n"
            "  --training.steps=x: must be an integer, got \"x\"");
  EXPECT_EQ(ConfigFiles().problems({"--check=x", "--training.steps=x"}),
            "  command line: Could not convert: --check = x\n"
            "  --training.steps=x: must be an integer, got \"x\"");
}

}  // namespace
}  // namespace titan::config
