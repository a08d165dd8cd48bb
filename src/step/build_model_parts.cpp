#include "titan/step/build_model_parts.h"

#include <c10/core/GradMode.h>

#include <utility>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/parallel/dtype.h"
#include "titan/parallel/host_memory.h"
#include "titan/parallel/linear_extension.h"

namespace titan::step {

namespace {

/// So that parameters travel to the device while the host does something else.
void page_lock(nn::Module& model) {
  for (const auto& [name, parameter] : model.named_parameters()) {
    const at::Tensor locked =
        parallel::empty_page_locked(parameter->tensor.sizes(), parameter->tensor.scalar_type());
    parameter->tensor.set_data(locked.copy_(parameter->tensor));
  }
}

}  // namespace

RankModel build_model_parts(const protocols::TrainSpec& spec, const protocols::ModelArgs& args,
                            const comm::RankContext& context, const config::JobConfig& config,
                            const std::function<void(nn::Module&)>& adjust) {
  RankModel result;
  result.converters = protocols::build_model_converters(config, context);
  const auto build = [&] {
    auto model = spec.build_model(args, parallel::torch_dtype(config.training.dtype));
    result.size = args.size_of(*model, config.training.seq_len);
    if (adjust) adjust(*model);
    for (const auto& converter : result.converters) converter->convert(*model);
    return model;
  };
  std::shared_ptr<parallel::LinearExtension> extension;
  for (const auto& converter : result.converters) {
    if (extension == nullptr) extension = converter->linear_extension();
  }
  const parallel::LinearExtensionScope scope(std::move(extension));
  if (context.dims.pp_enabled()) {
    if (!spec.pipelining) {
      throw ConfigError("parallelism.pipeline_parallel_degree: " + config.model.name +
                        " cannot be split into pipeline stages");
    }
    result.parts = spec.pipelining(build, context, config, spec.parallelize);
  } else {
    protocols::ModelPart whole{build(), nullptr};
    whole.sharding = spec.parallelize(*whole.model, context, config);
    result.parts.push_back(std::move(whole));
  }
  for (const auto& converter : result.converters) converter->after_parallelize(result.parts);
  return result;
}

void init_model_parts(protocols::ModelParts& parts, const comm::RankContext& context,
                      const config::Training& training) {
  const c10::NoGradGuard no_grad;
  // Offloaded parameters, their gradients and the optimizer's state stay in CPU memory.
  const at::Device memory = training.enable_cpu_offload ? at::Device(at::kCPU) : context.device;
  at::Generator generator = context.generator;
  // Every part draws for the whole model: each begins with the same numbers.
  const at::Tensor start = parts.size() > 1 ? generator.get_state() : at::Tensor();
  for (protocols::ModelPart& part : parts) {
    if (start.defined()) generator.set_state(start);
    part.model->to_empty(memory);
    part.model->init_weights(generator, context.device);
    if (memory != context.device) page_lock(*part.model);
  }
}

}  // namespace titan::step
