#include "app/engine_commands.h"

#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/DeviceGuard.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <nlohmann/json.hpp>
#include <random>

#include "app/hardware.h"
#include "app/weights_of_config.h"
#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/generate/decode_continuation.h"
#include "titan/components/generate/generate.h"
#include "titan/components/weights/dequantized_weights.h"
#include "titan/components/weights/model_weights.h"
#include "titan/components/weights/open_weights.h"
#include "titan/parallel/dtype.h"
#include "titan/protocols/encode_text.h"
#include "titan/step/build_step_runner.h"
#include "titan/tools/logging.h"
#include "titan/tools/number_text.h"
#include "titan/tools/read_launch_environment.h"
#include "titan/tools/standard_output.h"

namespace titan::app {

namespace {

struct Prompt {
  std::string text;
  std::vector<std::int64_t> ids;
};

/// Everything that can be wrong with the prompts is said before any weight is read.
std::vector<Prompt> read_prompts(const config::CommandLine& command,
                                 const protocols::Tokenizer& tokenizer) {
  const std::int64_t context = command.config.training.seq_len;
  std::vector<Prompt> prompts;
  for (const std::string& text : command.generate.prompts) {
    Prompt prompt = {text,
                     protocols::encode_text(tokenizer, text, /*begins=*/true, /*ends=*/false)};
    if (prompt.ids.empty()) throw ConfigError(concat("--prompt: '", text, "' has no tokens"));
    const auto length = static_cast<std::int64_t>(prompt.ids.size());
    if (length > context || command.generate.max_tokens > context - length) {
      throw ConfigError(concat("--prompt: ", length, " tokens and ", command.generate.max_tokens,
                               " more (--max-tokens) are over the model's context of ", context,
                               " tokens: raise --training.seq_len, or ask for fewer"));
    }
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

/// The model on `device` with the weights of the checkpoint.
std::unique_ptr<protocols::ModelProtocol> load_model(const config::CommandLine& command,
                                                     const protocols::ModelArgs& args,
                                                     at::Device device) {
  base::FileSystem& files = base::posix_file_system();
  const config::JobConfig& config = command.config;
  const std::string& path = command.generate.checkpoint;
  const double start = base::monotonic_seconds();
  const components::WeightsFormat format = components::weights_format_of(files, path);
  const auto weights = components::open_weights(files, format, path);
  std::unique_ptr<protocols::StateDictAdapter> adapter;
  if (format == components::WeightsFormat::kHf) {
    adapter = hf_adapter(config, args, path);
    components::check_hf_config(files, path, *adapter);
  }
  auto model = protocols::get_train_spec(config.model.name)
                   .build_model(args, parallel::torch_dtype(config.training.dtype));
  model->to_empty(device);
  model->init_buffers(device);
  const auto dequantized = components::first_in_float8(*weights)
                               ? components::as_dequantized_weights(*weights)
                               : nullptr;
  components::load_model_weights(*model, dequantized ? *dequantized : *weights, adapter.get());
  tools::log_info("Loaded ", config.model.name, " ", config.model.flavor, " from ", path, " in ",
                  tools::fixed(base::monotonic_seconds() - start, 2), " s");
  return model;
}

/// Texts are made in `training.dtype`, however the model was trained.
config::JobConfig in_stored_type(config::JobConfig config) {
  config.training.mixed_precision_param = config::DType::kFloat32;  // no autocast
  return config;
}

std::uint64_t seed_of(const config::GenerateOptions& options) {
  if (options.seed) return static_cast<std::uint64_t>(*options.seed);
  const std::uint64_t seed = std::random_device()();
  if (options.temperature > 0) tools::log_info("--seed is not set; these texts' seed is ", seed);
  return seed;
}

std::string shown(const Prompt& prompt, const std::vector<std::int64_t>& ids,
                  const std::string& text, bool json) {
  if (!json) return concat(prompt.text, text, "\n");
  const nlohmann::ordered_json line = {
      {"prompt", prompt.text}, {"text", text}, {"prompt_ids", prompt.ids}, {"ids", ids}};
  return line.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

void generate_texts(const config::CommandLine& command, const std::vector<Prompt>& prompts,
                    protocols::StepRunner& model, const protocols::Tokenizer& tokenizer) {
  components::SamplingOptions sampling;
  sampling.max_new_tokens = command.generate.max_tokens;
  sampling.temperature = command.generate.temperature;
  sampling.top_k = command.generate.top_k;
  sampling.context = command.config.training.seq_len;
  sampling.eos_id = tokenizer.eos_id();
  at::Generator generator = at::make_generator<at::CPUGeneratorImpl>(seed_of(command.generate));
  std::int64_t tokens = 0;
  const double start = base::monotonic_seconds();
  for (const Prompt& prompt : prompts) {
    const std::vector<std::int64_t> ids =
        components::generate(model, prompt.ids, sampling, generator);
    tokens += static_cast<std::int64_t>(ids.size());
    tools::print(shown(prompt, ids, components::decode_continuation(tokenizer, prompt.ids, ids),
                       command.json));
  }
  const double seconds = base::monotonic_seconds() - start;
  tools::log_info("Made ", tokens, " tokens in ", tools::fixed(seconds, 2),
                  " s: ", tools::fixed(static_cast<double>(tokens) / std::max(seconds, 1e-9), 1),
                  " tokens per second");
}

}  // namespace

int generate(const config::CommandLine& command) try {
  tools::log_to_standard_error();
  const config::JobConfig& config = command.config;
  for (const std::string& warning : command.warnings) tools::log_warning(warning);
  const protocols::TrainSpec& spec = protocols::get_train_spec(config.model.name);
  if (!spec.build_tokenizer) {
    throw ConfigError(concat("generate: ", config.model.name, " has no tokenizer"));
  }
  const auto args = model_args_of(config);
  const auto tokenizer = spec.build_tokenizer(config);
  if (tokenizer->vocab_size() > args->vocab_size()) {
    throw ConfigError(concat("model.hf_assets_path: the tokenizer has ", tokenizer->vocab_size(),
                             " tokens, but ", config.model.name, " ", config.model.flavor,
                             " embeds only ", args->vocab_size()));
  }
  tokenizer->decode({}, true);  // one that cannot decode says so before any weight is read
  const std::vector<Prompt> prompts = read_prompts(command, *tokenizer);

  const Hardware hardware = choose_hardware(config, tools::read_launch_environment());
  const c10::DeviceGuard current_device(hardware.device);
  const c10::NoGradGuard no_grad;
  protocols::ModelParts parts;
  parts.push_back(
      {load_model(command, *args, hardware.device), std::make_shared<parallel::Sharding>()});
  comm::RankContext context;
  context.device = hardware.device;
  const config::JobConfig job = in_stored_type(config);
  const auto runner =
      step::build_step_runner(spec, {parts, context, job, nullptr, tokenizer.get()});
  generate_texts(command, prompts, *runner, *tokenizer);
  return 0;
} catch (const c10::Error& error) {
  throw RunError(error.what_without_backtrace());
}

}  // namespace titan::app
