#include "titan/pipeline/stages.h"

#include <algorithm>
#include <utility>

#include "titan/autograd/split_backward.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/config/job_config.h"
#include "titan/nn/embedding.h"
#include "titan/parallel/module_pattern.h"
#include "titan/pipeline/tied_weights.h"
#include "titan/schedule/csv.h"
#include "titan/schedule/stage_split.h"
#include "titan/tools/logging.h"

namespace titan::pipeline {

namespace {

using schedule::Kind;

constexpr std::uint64_t kMostCsvBytes = 64 << 20;

bool has_csv(const config::Parallelism& parallelism) {
  return !parallelism.pipeline_parallel_schedule_csv.value_or("").empty();
}

std::string read_csv(const std::string& path) try {
  return base::read_whole_file(base::posix_file_system(), path, kMostCsvBytes);
} catch (const RunError& error) {
  throw ConfigError(concat("parallelism.pipeline_parallel_schedule_csv: ", error.what()));
}

/// The names of the reference's abstract schedules say how many stages a rank has; a CSV file says the rest.
Kind kind_of(const config::Parallelism& parallelism) {
  const std::string& name = parallelism.pipeline_parallel_schedule;
  if (const auto kind = schedule::find_kind(name)) return *kind;
  if (has_csv(parallelism)) {
    if (name == "PipelineScheduleSingle") return Kind::k1F1B;
    if (name == "PipelineScheduleMulti") return Kind::kInterleaved1F1B;
  }
  throw ConfigError(concat("parallelism.pipeline_parallel_schedule: ", name,
                           " is no schedule by itself; name one, or a file in "
                           "pipeline_parallel_schedule_csv"));
}

std::int64_t stages_per_rank(const config::Parallelism& parallelism, Kind kind,
                             std::int64_t layers) {
  const bool one = schedule::has_one_stage_per_rank(kind);
  if (!parallelism.pipeline_parallel_layers_per_stage) return one ? 1 : 2;
  const std::int64_t ranks = parallelism.pipeline_parallel_degree;
  const std::int64_t length = *parallelism.pipeline_parallel_layers_per_stage;
  const std::int64_t all = layers + parallelism.pipeline_parallel_first_stage_less_layers +
                           parallelism.pipeline_parallel_last_stage_less_layers;
  const std::int64_t stages = (all + length - 1) / length;
  if (stages % ranks != 0) {
    throw ConfigError(concat("parallelism.pipeline_parallel_layers_per_stage (", length, ") makes ",
                             stages, " stages of ", layers, " layers and the ends' weights, which ",
                             ranks, " ranks cannot share evenly"));
  }
  const std::int64_t each = stages / ranks;
  if (one != (each == 1)) {
    throw ConfigError(concat("parallelism.pipeline_parallel_layers_per_stage (", length, ") makes ",
                             each, " stages per rank; ", schedule::to_string(kind), " has ",
                             one ? "one" : "at least two"));
  }
  return each;
}

void leave_all_but(nn::Module& model, const std::vector<std::string>& modules) {
  std::size_t found = 0;
  for (const auto& [name, module] : model.named_modules()) {
    const bool is_unit = name == "tok_embeddings" || name == "norm" || name == "output" ||
                         parallel::matches_pattern(name, "layers.*");
    if (!is_unit) continue;
    if (std::ranges::count(modules, name) > 0) {
      ++found;
    } else {
      module->leave_to_other_stage();
    }
  }
  if (found != modules.size()) {
    throw ConfigError(
        "parallelism.module_fqns_per_model_part names a module that the model does not have; there "
        "are tok_embeddings, layers.0, layers.1, ..., norm and output");
  }
  // What they share with a module that was left (tied weights) is here all the same.
  for (const std::string& name : modules) {
    for (const nn::NamedParameter& named : model.submodule(name).parameter_names()) {
      named.parameter->here = true;
    }
  }
}

/// Every module belongs to one stage, in order.
void check_modules(const std::vector<std::vector<std::string>>& stages, std::int64_t layers) {
  std::vector<std::string> expected = {"tok_embeddings"};
  for (std::int64_t i = 0; i < layers; ++i) expected.push_back(concat("layers.", i));
  expected.insert(expected.end(), {"norm", "output"});
  std::vector<std::string> named;
  for (const auto& modules : stages) named.insert(named.end(), modules.begin(), modules.end());
  if (named == expected) return;
  for (std::size_t i = 0; i < std::max(named.size(), expected.size()); ++i) {
    const std::string is = i < named.size() ? named[i] : "the end";
    const std::string should = i < expected.size() ? expected[i] : "the end";
    if (is == should) continue;
    throw ConfigError(concat("parallelism.module_fqns_per_model_part: ", is,
                             " where the model goes on with ", should));
  }
}

std::string names_text(const std::vector<std::string>& names) {
  std::string result;
  for (const std::string& name : names) result += concat(result.empty() ? "'" : ", '", name, "'");
  return concat("[", result, "]");
}

}  // namespace

schedule::Schedule Plan::schedule(const config::JobConfig& config) const {
  const config::Parallelism& parallelism = config.parallelism;
  if (has_csv(parallelism)) {
    return schedule::from_csv(read_csv(*parallelism.pipeline_parallel_schedule_csv), placement,
                              microbatches);
  }
  return schedule::make_schedule(kind, placement.ranks, placement.stages_per_rank, microbatches);
}

Plan plan_of(const config::JobConfig& config, std::int64_t layers) {
  const config::Parallelism& parallelism = config.parallelism;
  const Kind kind = kind_of(parallelism);
  Plan plan{kind, {parallelism.pipeline_parallel_degree, 1, schedule::is_v_shaped(kind)}, {}};
  plan.placement.stages_per_rank = stages_per_rank(parallelism, kind, layers);
  if (parallelism.module_fqns_per_model_part) {
    plan.modules = *parallelism.module_fqns_per_model_part;
    check_modules(plan.modules, layers);
    const auto stages = static_cast<std::int64_t>(plan.modules.size());
    if (stages % plan.placement.ranks != 0) {
      throw ConfigError(concat("parallelism.module_fqns_per_model_part has ", stages,
                               " stages, which ", plan.placement.ranks,
                               " ranks cannot share evenly"));
    }
    plan.placement.stages_per_rank = stages / plan.placement.ranks;
  } else {
    plan.modules = schedule::split_layers(plan.placement.stages(), layers,
                                          {parallelism.pipeline_parallel_first_stage_less_layers,
                                           parallelism.pipeline_parallel_last_stage_less_layers});
  }
  plan.microbatch_rows = parallelism.pipeline_parallel_microbatch_size;
  plan.microbatches = config.training.local_batch_size / plan.microbatch_rows;
  if (!has_csv(parallelism)) {
    if (const auto problem = schedule::problem_of(
            kind, plan.placement.ranks, plan.placement.stages_per_rank, plan.microbatches)) {
      throw ConfigError("parallelism.pipeline_parallel_schedule: " + *problem);
    }
  }
  return plan;
}

Plan plan_of(const config::JobConfig& config, nn::Module& model) {
  const auto layers = parallel::modules_matching(model, "layers.*").size();
  return plan_of(config, static_cast<std::int64_t>(layers));
}

protocols::ModelParts make_stages(
    const std::function<std::unique_ptr<protocols::ModelProtocol>()>& build,
    const comm::RankContext& context, const config::JobConfig& config,
    const protocols::ParallelizeFn& parallelize) {
  auto model = build();
  const Plan plan = plan_of(config, *model);
  // What goes between the layers has the shape of what the embedding makes: its rows.
  const auto* embedding = dynamic_cast<const nn::Embedding*>(&model->submodule("tok_embeddings"));
  TITAN_CHECK(embedding != nullptr, "a language model begins with an embedding");
  const std::vector<std::int64_t> between = {plan.microbatch_rows, config.training.seq_len,
                                             embedding->weight().full_sizes.at(1)};

  protocols::ModelParts parts;
  const std::int64_t rank = context.group(mesh::MeshDim::kPp).rank();
  for (const std::int64_t index : plan.placement.stages_of(rank)) {
    if (!model) model = build();
    const std::vector<std::string>& modules = plan.modules[static_cast<std::size_t>(index)];
    leave_all_but(*model, modules);
    for (const TiedParameter& tied : tied_parameters(*model, plan.modules)) {
      tied.parameter->counted = tied.stages.front() == index;
    }
    tools::log_info("PP rank ", rank, " is building stage_idx ", index, " with modules ",
                    names_text(modules));
    protocols::ModelPart part{std::move(model), nullptr, {index, plan.placement.stages(), between}};
    // Innermost: where something else multiplies (async tensor parallelism), no weight waits.
    autograd::let_weights_wait(*part.model);
    part.sharding = parallelize(*part.model, context, config);
    parts.push_back(std::move(part));
    model = nullptr;
  }
  return parts;
}

}  // namespace titan::pipeline
