#include "titan/config/training.h"

#include "config/describer.h"
#include "titan/base/errors.h"

namespace titan::config {
namespace {

bool is_not_empty(const std::string& text) { return !text.empty(); }

}  // namespace

void Model::describe(Describer<Model>& option) {
  option("name", &Model::name, "Which model to train: the name of a train spec.");
  option("flavor", &Model::flavor, "Size of the model, such as debugmodel or 8B.");
  option("hf_assets_path", &Model::hf_assets_path,
         "Folder in Hugging Face layout: tokenizer files, config.json, safetensors.")
      .path();
  option("tokenizer_path", &Model::tokenizer_path, "Deprecated: use hf_assets_path.").path();
  option("converters", &Model::converters,
         "Converters applied to the model, in order. \"float8\" is an old name of "
         "\"quantize.linear.float8\".")
      .each_of({"quantize.linear.float8", "quantize.grouped_mm.float8", "quantize.linear.mx",
                "quantize.grouped_mm.mx", "float8"})
      .or_registered();
  option("print_after_conversion", &Model::print_after_conversion,
         "Log the model's modules and their parameters after the converters ran.");
}

void Optimizer::describe(Describer<Optimizer>& option) {
  option("name", &Optimizer::name, "Optimizer.");
  option("lr", &Optimizer::lr, "Peak learning rate.").at_least(0);
  option("beta1", &Optimizer::beta1, "Decay of the running mean of the gradient.")
      .between_below(0, 1);
  option("beta2", &Optimizer::beta2, "Decay of the running mean of the squared gradient.")
      .between_below(0, 1);
  option("eps", &Optimizer::eps, "Added to the denominator of the update.").at_least(0);
  option("weight_decay", &Optimizer::weight_decay,
         "Weight decay of every parameter that no group decides otherwise.")
      .at_least(0);
  option("implementation", &Optimizer::implementation,
         "One kernel for all parameters (fused), lists of parameters (foreach), or one by one.");
  option("early_step_in_backward", &Optimizer::early_step_in_backward,
         "Update each parameter as soon as its gradient is there; turns off gradient clipping.");
  option("param_groups", &Optimizer::param_groups,
         "Array of tables: `pattern`, an ECMAScript regular expression searched in the full name "
         "of each parameter, and `weight_decay`, `lr_scale` or both. The first match counts.")
      .only_in_toml();
}

void LRScheduler::describe(Describer<LRScheduler>& option) {
  option("warmup_steps", &LRScheduler::warmup_steps, "Steps of linear warm-up.").at_least(0);
  option("decay_ratio", &LRScheduler::decay_ratio,
         "Share of all steps spent decaying; None decays from the end of the warm-up.")
      .between(0, 1);
  option("decay_type", &LRScheduler::decay_type, "Shape of the decay.");
  option("min_lr_factor", &LRScheduler::min_lr_factor,
         "Learning rate at the end of the decay, as a share of the peak.")
      .between(0, 1);
  option("total_steps", &LRScheduler::total_steps,
         "Steps that the schedule is laid out for; None is training.steps.")
      .at_least(1);
}

void DataLoader::describe(Describer<DataLoader>& option) {
  option("num_workers", &DataLoader::num_workers,
         "A thread always makes batches ahead, 2 of them. With workers it is prefetch_factor (or "
         "2) for each; order and content of the batches stay the same.")
      .between(0, 1024);
  option("persistent_workers", &DataLoader::persistent_workers,
         "Inert: the thread stays as long as the run.");
  option("pin_memory", &DataLoader::pin_memory,
         "Copy batches to the GPU from page-locked memory, without waiting. Inert on a CPU.");
  option("prefetch_factor", &DataLoader::prefetch_factor,
         "Batches to make ahead for each worker. Inert without workers.")
      .between(1, 1024);
}

std::int64_t DataLoader::batches_ahead() const {
  constexpr std::int64_t kAhead = 2;
  return num_workers == 0 ? kAhead : num_workers * prefetch_factor.value_or(kAhead);
}

std::int64_t Training::accumulation_steps(std::int64_t data_ranks) const {
  if (global_batch_size < 0) return 1;
  const std::int64_t rows = local_batch_size * data_ranks;
  TITAN_CHECK(global_batch_size > 0 && global_batch_size % rows == 0,
              "global batch size was not validated: ", global_batch_size);
  return global_batch_size / rows;
}

void Training::describe(Describer<Training>& option) {
  option(
      "dataset", &Training::dataset,
      "Name of the training data: c4, c4_validation (C4's own .json.gz shards in a local folder, "
      "dataset_path) or c4_test (shipped, or whatever dataset_path names).");
  option(
      "dataset_path", &Training::dataset_path,
      "Where the data is, if not in its usual place: a file, or a folder whose files are read in "
      "order of their names. See [data] for the formats.")
      .path();
  option("local_batch_size", &Training::local_batch_size,
         "Sequences per data-parallel rank and microbatch.")
      .at_least(1);
  option("global_batch_size", &Training::global_batch_size,
         "Sequences per step, over all ranks and accumulated microbatches; a negative number "
         "accumulates none.")
      .at_least(1)
      .or_negative();
  option("seq_len", &Training::seq_len, "Tokens per sequence.").at_least(1);
  option("max_norm", &Training::max_norm,
         "Gradients are scaled down to this norm; inf never scales.")
      .greater_than(0)
      .or_infinity();
  option("steps", &Training::steps, "Steps to train.").at_least(1);
  option("enable_cpu_offload", &Training::enable_cpu_offload,
         "Keep parameters, gradients and optimizer state in CPU memory.");
  option("dtype", &Training::dtype, "Type of the parameters.");
  option("mixed_precision_param", &Training::mixed_precision_param,
         "Type to compute in: of the gathered parameters under FSDP, else of autocast.");
  option("mixed_precision_reduce", &Training::mixed_precision_reduce,
         "Type to reduce gradients in.");
  option("gc_freq", &Training::gc_freq, "Inert: there is no garbage collector.").at_least(1);
  option("gc_debug", &Training::gc_debug, "Inert: there is no garbage collector.");
  option("device", &Training::device, "Where to train; auto takes CUDA where a GPU is visible.");
}

void Validation::describe(Describer<Validation>& option) {
  option("enable", &Validation::enable, "Validate during training.");
  option("dataset", &Validation::dataset, "Name of the validation data.");
  option("dataset_path", &Validation::dataset_path, "Where the data is, if not in its usual place.")
      .path()
      .must(is_not_empty, "a path");
  option("local_batch_size", &Validation::local_batch_size, "Sequences per data-parallel rank.")
      .at_least(1);
  option("seq_len", &Validation::seq_len, "Tokens per sequence.").at_least(1);
  option("freq", &Validation::freq, "Validate every n-th step.").at_least(1);
  option("steps", &Validation::steps, "Batches per validation; -1 goes to the end of the data.")
      .at_least(1)
      .or_exactly(-1);
  option("sample_prompts", &Validation::sample_prompts,
         "Texts that the model continues before the first step and at every validation, logged and "
         "written to samples.jsonl under dump_folder.");
  option("sample_tokens", &Validation::sample_tokens, "Tokens of each continuation.").at_least(1);
  option("sample_temperature", &Validation::sample_temperature,
         "Divides the logits before sampling; 0 takes the likeliest token.")
      .at_least(0.01)
      .or_exactly(0);
}

}  // namespace titan::config
