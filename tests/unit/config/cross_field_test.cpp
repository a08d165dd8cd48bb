#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "titan/base/errors.h"
#include "titan/config/option.h"
#include "titan/config/validate.h"
#include "unit/config/broken_rules.h"

namespace titan::config {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

TEST(CrossField, TheDefaultsFitAnyNumberOfRanks) {
  for (const std::int64_t ranks : {1, 2, 3, 7, 8, 512, 1'000'000}) {
    EXPECT_THAT(broken_rules(ranks, [](JobConfig&) {}), IsEmpty()) << ranks;
  }
}

TEST(CrossField, BlamesWhatTheUserSet) {
  JobConfig config;
  config.training.seq_len = 100;
  config.parallelism.tensor_parallel_degree = 8;
  Origins origins;
  origins.set("parallelism.tensor_parallel_degree", "x.toml:4:1");
  EXPECT_THAT(cross_field_problems(config, origins, 8),
              ElementsAre(Problem{"x.toml:4:1",
                                  "training.seq_len (100) must be a multiple of 2 * "
                                  "tensor_parallel_degree (8) * "
                                  "context_parallel_degree (1)"}));
  EXPECT_EQ(cross_field_problems(config, Origins(), 8).front().where,
            "default of training.seq_len");
}

TEST(CrossField, DegreesMustMakeTheWorldSize) {
  const auto wrong = broken_rules(64, [](JobConfig& c) {
    c.parallelism.data_parallel_shard_degree = 4;
    c.parallelism.tensor_parallel_degree = 8;
  });
  EXPECT_THAT(wrong, ElementsAre(testing::StartsWith(
                         "invalid parallel dims: data_parallel_replicate_degree(1) * "
                         "data_parallel_shard_degree(4) * context_parallel_degree(1) * "
                         "tensor_parallel_degree(8) * pipeline_parallel_degree(1) is not the "
                         "world size 64; nearest valid layouts: {")));
}

TEST(CrossField, TheShardDegreeFillsWhatTheOthersLeave) {
  const auto tp = [](std::int64_t degree) {
    return [degree](JobConfig& c) { c.parallelism.tensor_parallel_degree = degree; };
  };
  EXPECT_THAT(broken_rules(12, tp(4)), IsEmpty());
  EXPECT_THAT(broken_rules(12, tp(8)),
              ElementsAre(HasSubstr("does not divide the world size 12; nearest valid layouts: "
                                    "{data_parallel_shard_degree=")));
  EXPECT_THAT(broken_rules(4, tp(8)), ElementsAre(HasSubstr("does not divide")));
}

TEST(CrossField, DegreesThatOverflowAreJustWrong) {
  const auto wrong = broken_rules(8, [](JobConfig& c) {
    c.parallelism.tensor_parallel_degree = std::int64_t{1} << 62;
    c.parallelism.context_parallel_degree = std::int64_t{1} << 62;
    c.parallelism.pipeline_parallel_degree = 4;
    c.training.local_batch_size = std::int64_t{1} << 62;
    c.training.global_batch_size = std::int64_t{1} << 62;
  });
  EXPECT_THAT(wrong, ElementsAre(HasSubstr("invalid parallel dims"), HasSubstr("seq_len"),
                                 HasSubstr("2^31 tokens")));
}

TEST(CrossField, NearestLayoutsAreValidThemselves) {
  for (const std::int64_t ranks : {6, 24, 96, 1000}) {
    const auto wrong = broken_rules(ranks, [](JobConfig& c) {
      c.parallelism.tensor_parallel_degree = 7;
      c.parallelism.pipeline_parallel_degree = 5;
    });
    ASSERT_EQ(wrong.size(), 2u);  // 2048 is no multiple of 14 either
    EXPECT_THAT(wrong[0], HasSubstr("nearest valid layouts: {"));
    EXPECT_THAT(wrong[0], testing::Not(HasSubstr("tensor_parallel_degree=3")));
  }
}

TEST(CrossField, GlobalBatchIsAMultipleOfLocalTimesRanks) {
  const auto batch = [](std::int64_t local, std::int64_t global) {
    return [=](JobConfig& c) {
      c.training.local_batch_size = local;
      c.training.global_batch_size = global;
    };
  };
  EXPECT_THAT(broken_rules(1, batch(4, 16)), IsEmpty());
  EXPECT_THAT(broken_rules(4, batch(4, 16)), IsEmpty());
  EXPECT_THAT(broken_rules(1, batch(4, 18)), ElementsAre(HasSubstr("global_batch_size (18)")));
  EXPECT_THAT(broken_rules(8, batch(4, 16)), ElementsAre(HasSubstr("data-parallel ranks (8)")));
}

TEST(CrossField, AStepAccumulatesWhatTheRanksDoNotTakeAtOnce) {
  Training training;
  training.local_batch_size = 4;
  EXPECT_EQ(training.accumulation_steps(8), 1);
  training.global_batch_size = 64;
  EXPECT_EQ(training.accumulation_steps(1), 16);
  EXPECT_EQ(training.accumulation_steps(8), 2);
  EXPECT_EQ(training.accumulation_steps(16), 1);
  EXPECT_THROW(training.accumulation_steps(3), InternalError);
}

TEST(CrossField, AMicrobatchIsAddressable) {
  const auto size = [](std::int64_t local, std::int64_t seq_len) {
    return [=](JobConfig& c) {
      c.training.local_batch_size = local;
      c.training.seq_len = seq_len;
    };
  };
  EXPECT_THAT(broken_rules(1, size(1 << 15, 1 << 16)), IsEmpty());
  EXPECT_THAT(broken_rules(1, size((1 << 15) + 1, 1 << 16)), ElementsAre(HasSubstr("2^31 tokens")));
}

TEST(CrossField, AStepHoldsItsMicrobatches) {
  const auto rows = [](std::int64_t global) {
    return [=](JobConfig& c) {
      c.training.local_batch_size = 2;
      c.training.global_batch_size = global;
    };
  };
  EXPECT_THAT(broken_rules(4, rows(8'000'000)), IsEmpty());
  EXPECT_THAT(broken_rules(4, rows(8'000'008)),
              ElementsAre(HasSubstr("1000001 microbatches of 2")));
  EXPECT_THAT(broken_rules(1, rows(1'000'000'000'000'000'000)),
              ElementsAre(HasSubstr("microbatches of 2")));
}

TEST(CrossField, AMicrobatchOfTheValidationIsAddressable) {
  const auto size = [](std::int64_t local) {
    return [=](JobConfig& c) {
      c.validation.enable = true;
      c.validation.dataset = "c4_test";
      c.validation.seq_len = c.training.seq_len = 1 << 11;
      c.validation.local_batch_size = local;
    };
  };
  EXPECT_THAT(broken_rules(1, size(1 << 20)), IsEmpty());
  EXPECT_THAT(broken_rules(1, size((1 << 20) + 1)), ElementsAre(HasSubstr("2^31 tokens")));
}

using Change = void (*)(JobConfig&);

struct Rule {
  const char* problem;
  std::int64_t world_size;
  Change break_it;
  Change mend_it;
};

class CrossFieldRule : public testing::TestWithParam<Rule> {};

TEST_P(CrossFieldRule, IsBrokenAndMended) {
  const Rule& rule = GetParam();
  EXPECT_THAT(broken_rules(rule.world_size, rule.break_it), ElementsAre(HasSubstr(rule.problem)));
  EXPECT_THAT(broken_rules(rule.world_size,
                           [&](JobConfig& c) {
                             rule.break_it(c);
                             rule.mend_it(c);
                           }),
              IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    CrossField, CrossFieldRule,
    testing::Values(
        Rule{"training.seq_len (2047) must be a multiple of 2 *", 1,
             [](JobConfig& c) { c.training.seq_len = 2047; },
             [](JobConfig& c) { c.training.seq_len = 2046; }},
        Rule{"expert_tensor_parallel_degree must be 1 or tensor_parallel_degree (4), got 2", 8,
             [](JobConfig& c) {
               c.parallelism.tensor_parallel_degree = 4;
               c.parallelism.expert_parallel_degree = 2;
               c.parallelism.expert_tensor_parallel_degree = 2;
             },
             [](JobConfig& c) { c.parallelism.expert_tensor_parallel_degree = 4; }},
        Rule{"must divide the ranks of shard * context * tensor parallelism (8)", 8,
             [](JobConfig& c) { c.parallelism.expert_parallel_degree = 3; },
             [](JobConfig& c) { c.parallelism.expert_parallel_degree = 4; }},
        Rule{"must be a multiple of pipeline_parallel_microbatch_size (3)", 2,
             [](JobConfig& c) {
               c.parallelism.pipeline_parallel_degree = 2;
               c.parallelism.pipeline_parallel_microbatch_size = 3;
             },
             [](JobConfig& c) { c.parallelism.pipeline_parallel_microbatch_size = 4; }},
        Rule{"unknown pipeline schedule gpip; did you mean 'GPipe'?", 2,
             [](JobConfig& c) {
               c.parallelism.pipeline_parallel_degree = 2;
               c.parallelism.pipeline_parallel_schedule = "gpip";
             },
             [](JobConfig& c) { c.parallelism.pipeline_parallel_schedule = "gpipe"; }},
        Rule{"\"deepep\" needs expert_parallel_degree > 1", 2,
             [](JobConfig& c) {
               c.parallelism.expert_parallel_comm_backend = ExpertCommBackend::kDeepEp;
             },
             [](JobConfig& c) { c.parallelism.expert_parallel_degree = 2; }},
        Rule{"\"memory_budget\" needs compile.enable", 1,
             [](JobConfig& c) {
               c.activation_checkpoint.mode = ActivationCheckpointMode::kMemoryBudget;
             },
             [](JobConfig& c) { c.compile.enable = true; }},
        Rule{"early_step_in_backward does not combine", 2,
             [](JobConfig& c) {
               c.optimizer.early_step_in_backward = true;
               c.parallelism.pipeline_parallel_degree = 2;
             },
             [](JobConfig& c) { c.optimizer.early_step_in_backward = false; }},
        Rule{"\"skip\" cannot leave out a step that was made in backward", 2,
             [](JobConfig& c) {
               c.optimizer.early_step_in_backward = true;
               c.debug.on_nan = OnNan::kSkip;
             },
             [](JobConfig& c) { c.debug.on_nan = OnNan::kStop; }},
        Rule{"must all be float8 or all be mx", 1,
             [](JobConfig& c) {
               c.model.converters = {"quantize.linear.float8", "quantize.grouped_mm.mx"};
             },
             [](JobConfig& c) { c.model.converters.pop_back(); }},
        Rule{"model.converters has \"mine\" twice", 1,
             [](JobConfig& c) {
               c.model.converters = {"mine", "quantize.linear.mx", "mine"};
             },
             [](JobConfig& c) { c.model.converters.pop_back(); }},
        Rule{"recipe_name does not combine with enable_fsdp_float8_all_gather", 1,
             [](JobConfig& c) {
               c.model.converters = {"quantize.linear.float8"};
               c.quantize.linear.float8.recipe_name = Float8Recipe::kRowwise;
               c.quantize.linear.float8.enable_fsdp_float8_all_gather = true;
             },
             [](JobConfig& c) { c.model.converters.clear(); }},
        Rule{"emulate does not combine with a compiled model", 1,
             [](JobConfig& c) {
               c.model.converters = {"quantize.linear.float8"};
               c.quantize.linear.float8.emulate = true;
               c.compile.enable = true;
             },
             [](JobConfig& c) { c.compile.components = {"loss"}; }},
        Rule{"profile_freq (3) must be greater than or equal to profiler_warmup (3) + "
             "profiler_active (1)",
             1,
             [](JobConfig& c) {
               c.profiling.enable_profiling = true;
               c.profiling.profile_freq = 3;
             },
             [](JobConfig& c) { c.profiling.profile_freq = 4; }},
        Rule{"Dataset c5 is not supported. Supported datasets are: ['c4', 'c4_test', "
             "'c4_validation']; did you mean 'c4'?",
             1, [](JobConfig& c) { c.training.dataset = "C5"; },
             [](JobConfig& c) { c.training.dataset = "C4_Test"; }},
        Rule{"the dataset c4 is read from a local folder of its .json.gz files: name it with "
             "training.dataset_path; scripts/download_c4.py fetches",
             1, [](JobConfig& c) { c.training.dataset = "c4"; },
             [](JobConfig& c) { c.training.dataset_path = "c4"; }},
        Rule{"name it with validation.dataset_path", 1,
             [](JobConfig& c) { c.validation.enable = true; },
             [](JobConfig& c) { c.validation.dataset = "c4_test"; }},
        Rule{"validation.seq_len (500) must be a multiple of 2 * tensor_parallel_degree (4)", 4,
             [](JobConfig& c) {
               c.validation.enable = true;
               c.validation.dataset = "c4_test";
               c.validation.seq_len = 500;
               c.parallelism.tensor_parallel_degree = 4;
             },
             [](JobConfig& c) { c.validation.seq_len = 504; }},
        Rule{"validation.seq_len (2048) must not be larger than training.seq_len (512)", 1,
             [](JobConfig& c) {
               c.validation.enable = true;
               c.validation.dataset = "c4_test";
               c.training.seq_len = 512;
             },
             [](JobConfig& c) { c.validation.seq_len = 512; }},
        Rule{"training.dataset_path and data.mixture both say where", 1,
             [](JobConfig& c) {
               c.training.dataset_path = "a";
               c.data.mixture = {{"b", 1, ""}};
             },
             [](JobConfig& c) { c.training.dataset_path.reset(); }},
        Rule{"data.mixture needs a weight above 0", 1,
             [](JobConfig& c) {
               c.data.mixture = {{"a", 0, ""}, {"b", 0, ""}};
             },
             [](JobConfig& c) { c.data.mixture[1].weight = 0.5; }},
        Rule{"keep_latest_k must be 0 (keep all) or at least 2", 1,
             [](JobConfig& c) {
               c.checkpoint.enable = true;
               c.checkpoint.keep_latest_k = 1;
             },
             [](JobConfig& c) { c.checkpoint.enable = false; }},
        Rule{"last_save_in_hf needs last_save_model_only", 1,
             [](JobConfig& c) {
               c.checkpoint.enable = true;
               c.checkpoint.last_save_in_hf = true;
               c.checkpoint.last_save_model_only = false;
             },
             [](JobConfig& c) { c.checkpoint.last_save_model_only = true; }},
        Rule{"initial_load_in_hf needs initial_load_model_only", 1,
             [](JobConfig& c) {
               c.checkpoint.enable = true;
               c.checkpoint.initial_load_in_hf = true;
               c.checkpoint.initial_load_model_only = false;
             },
             [](JobConfig& c) { c.checkpoint.initial_load_model_only = true; }},
        Rule{"initial_load_in_hf_quantized needs initial_load_in_hf", 1,
             [](JobConfig& c) {
               c.checkpoint.enable = true;
               c.checkpoint.initial_load_in_hf_quantized = true;
             },
             [](JobConfig& c) { c.checkpoint.initial_load_in_hf = true; }},
        Rule{"\"rollback\" goes back to checkpoints", 1,
             [](JobConfig& c) { c.debug.on_nan = OnNan::kRollback; },
             [](JobConfig& c) { c.checkpoint.enable = true; }},
        Rule{"\"rollback\" goes back to checkpoints", 1,
             [](JobConfig& c) {
               c.debug.on_nan = OnNan::kRollback;
               c.checkpoint.enable = true;
               c.checkpoint.load_only = true;
             },
             [](JobConfig& c) { c.checkpoint.load_only = false; }},
        Rule{"create_seed_checkpoint needs checkpoint.enable and one rank", 1,
             [](JobConfig& c) { c.checkpoint.create_seed_checkpoint = true; },
             [](JobConfig& c) { c.checkpoint.enable = true; }}));

TEST(CrossField, CudaGraphsAreForStepsThatAreAlwaysTheSame) {
  const auto graphs = [](const auto& change, std::int64_t world_size = 1) {
    return broken_rules(world_size, [&](JobConfig& c) {
      c.compile.cuda_graphs = true;
      c.activation_checkpoint.preserve_rng_state = false;
      change(c);
    });
  };
  EXPECT_THAT(graphs([](JobConfig&) {}), IsEmpty());
  EXPECT_THAT(graphs([](JobConfig& c) {
                c.activation_checkpoint.mode = ActivationCheckpointMode::kNone;
                c.activation_checkpoint.preserve_rng_state = true;
              }),
              IsEmpty());
  EXPECT_THAT(graphs([](JobConfig&) {}, 4), ElementsAre(HasSubstr("the world size is 4")));
  EXPECT_THAT(graphs([](JobConfig& c) { c.training.device = Device::kCpu; }),
              ElementsAre(HasSubstr("training.device is \"cpu\"")));
  EXPECT_THAT(graphs([](JobConfig& c) { c.activation_checkpoint.preserve_rng_state = true; }),
              ElementsAre(HasSubstr("activation_checkpoint.preserve_rng_state")));
  EXPECT_THAT(graphs([](JobConfig& c) { c.optimizer.early_step_in_backward = true; }),
              ElementsAre(HasSubstr("optimizer.early_step_in_backward")));
  EXPECT_THAT(graphs([](JobConfig& c) { c.model.converters = {"quantize.linear.float8"}; }),
              ElementsAre(HasSubstr("model.converters")));
  EXPECT_THAT(graphs([](JobConfig& c) { c.data.document_mask = true; }),
              ElementsAre(HasSubstr("data.document_mask")));
}

}  // namespace
}  // namespace titan::config
