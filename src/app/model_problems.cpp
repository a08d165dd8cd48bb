#include "app/engine_commands.h"
#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/config/layout.h"
#include "titan/pipeline/stages.h"
#include "titan/protocols/model_converter.h"
#include "titan/protocols/train_spec.h"
#include "titan/schedule/simulation.h"
#include "titan/step/graph_rules.h"

namespace titan::app {
namespace {

/// Degrees of tensor and expert parallelism that the model cannot be cut by.
void check_cuts(const config::JobConfig& config, std::int64_t world_size, const char* option,
                std::int64_t degree,
                std::vector<std::string> (protocols::ModelArgs::*problems_of)(std::int64_t) const) {
  const auto args = protocols::get_model_args(config.model.name, config.model.flavor);
  const std::vector<std::string> problems = ((*args).*problems_of)(degree);
  if (problems.empty()) return;
  std::string text = concat("parallelism.", option, " = ", degree, ": ", config.model.name, " ",
                            config.model.flavor, " cannot be cut so: ");
  for (std::size_t i = 0; i < problems.size(); ++i) text += (i > 0 ? "; " : "") + problems[i];
  throw ConfigError(text + config::nearest_layouts_text(config, world_size, model_layouts(config)));
}

/// Texts that the model does not let be cut.
void check_context_parallel(const config::JobConfig& config, std::int64_t world_size) {
  if (config.parallelism.context_parallel_degree == 1) return;
  const auto args = protocols::get_model_args(config.model.name, config.model.flavor);
  if (args->allows_cut_texts()) return;
  throw ConfigError(
      concat("parallelism.context_parallel_degree = ", config.parallelism.context_parallel_degree,
             ": ", config.model.name, " ", config.model.flavor,
             " attends to whole texts only, which cannot be cut",
             config::nearest_layouts_text(config, world_size, model_layouts(config))));
}

/// Stages and schedules that there are not for the model's layers, and schedules that get stuck.
void check_pipeline(const config::JobConfig& config) {
  if (config.parallelism.pipeline_parallel_degree == 1) return;
  schedule::simulate(job_schedule(config));
}

/// Models of which every step is another.
void check_graphs(const config::JobConfig& config) {
  if (!config.compile.cuda_graphs) return;
  const protocols::TrainSpec& spec = protocols::get_train_spec(config.model.name);
  const auto args = protocols::get_model_args(config.model.name, config.model.flavor);
  step::check_can_be_captured(*spec.build_model(*args, at::kFloat));  // on the meta device
}

}  // namespace

schedule::Schedule job_schedule(const config::JobConfig& config) {
  const protocols::TrainSpec& spec = protocols::get_train_spec(config.model.name);
  if (!spec.pipelining) {
    throw ConfigError("parallelism.pipeline_parallel_degree: " + config.model.name +
                      " cannot be split into pipeline stages");
  }
  const auto args = protocols::get_model_args(config.model.name, config.model.flavor);
  const auto model = spec.build_model(*args, at::kFloat);  // on the meta device
  return pipeline::plan_of(config, *model).schedule(config);
}

config::LayoutFits model_layouts(const config::JobConfig& config) try {
  const bool has_stages = bool(protocols::get_train_spec(config.model.name).pipelining);
  const std::shared_ptr<const protocols::ModelArgs> args =
      protocols::get_model_args(config.model.name, config.model.flavor);
  return [has_stages, args](const mesh::Degrees& degrees) {
    return (degrees.pp == 1 || has_stages) && (degrees.cp == 1 || args->allows_cut_texts()) &&
           args->tensor_parallel_problems(degrees.tp).empty() &&
           args->expert_parallel_problems(degrees.ep).empty();
  };
} catch (const ConfigError&) {  // said by model_problems
  return {};
}

config::Problems model_problems(const config::JobConfig& config, const config::Origins& origins,
                                std::int64_t world_size) {
  config::Problems problems;
  const auto holds = [&](const char* option, const auto& check) {
    try {
      check();
      return true;
    } catch (const ConfigError& error) {
      const bool is_default = origins.is_default(option);
      problems.push_back(
          {is_default ? concat("default of ", option) : origins.of(option), error.what()});
      return false;
    }
  };
  const config::Model& model = config.model;
  const bool is_known =
      holds("model.name", [&] { protocols::get_train_spec(model.name); }) &&
      holds("model.flavor", [&] { protocols::get_model_args(model.name, model.flavor); });
  if (is_known) {
    const config::Parallelism& parallelism = config.parallelism;
    holds("parallelism.tensor_parallel_degree", [&] {
      check_cuts(config, world_size, "tensor_parallel_degree", parallelism.tensor_parallel_degree,
                 &protocols::ModelArgs::tensor_parallel_problems);
    });
    holds("parallelism.expert_parallel_degree", [&] {
      check_cuts(config, world_size, "expert_parallel_degree", parallelism.expert_parallel_degree,
                 &protocols::ModelArgs::expert_parallel_problems);
    });
    holds("parallelism.context_parallel_degree",
          [&] { check_context_parallel(config, world_size); });
    holds("parallelism.pipeline_parallel_schedule", [&] { check_pipeline(config); });
    holds("compile.cuda_graphs", [&] { check_graphs(config); });
  }
  for (const std::string& converter : model.converters) {
    config::JobConfig with_one;
    with_one.model.converters = {converter};
    holds("model.converters", [&] { protocols::check_model_converters(with_one); });
  }
  return problems;
}

}  // namespace titan::app
