#include "titan/parallel/compile.h"

#include <algorithm>

#include "titan/base/errors.h"
#include "titan/config/job_config.h"
#include "titan/nn/fast_path.h"
#include "titan/parallel/linear_extension.h"
#include "titan/parallel/loss_in_output.h"
#include "titan/parallel/tensor_parallel.h"
#include "titan/tools/logging.h"

namespace titan::parallel {

namespace {

bool compiles(const config::JobConfig& config, const char* component) {
  return config.compile.enable && std::ranges::count(config.compile.components, component) > 0;
}

/// Whether a converter makes a module's product, or, being a user's own, may have put a layer around it: who makes
/// product and loss in one would know of neither.
bool may_be_converted(const nn::Module& module, const config::JobConfig& config) {
  const auto& extension = LinearExtensionScope::current();
  return (extension != nullptr && extension->multiplies(module)) ||
         std::ranges::any_of(config.model.converters, [](const std::string& name) {
           return !name.starts_with("quantize.");
         });
}

void compile_loss(nn::Module& module, const std::string& name, const comm::RankContext& context,
                  const config::JobConfig& config) {
  if (may_be_converted(module, config)) {
    tools::log_info("The loss is made of whole logits: model.converters has the product of ", name,
                    " made otherwise, which compile.components \"loss\" would not do");
    return;
  }
  auto* output = dynamic_cast<nn::Linear*>(&module);
  TITAN_CHECK(output != nullptr, "a model whose output is no linear layer");
  const bool in_parts = computes_loss_in_parts(context.dims, config.parallelism);
  // Ranks that gather logits want them whole: then the loss is another's.
  if (context.dims.tp_enabled() && !in_parts) return;
  compute_loss_in_output(*output, in_parts ? &context.group(mesh::MeshDim::kTp) : nullptr);
}

}  // namespace

void apply_compile(nn::Module& model, const std::string& output, const comm::RankContext& context,
                   const config::JobConfig& config) {
  if (compiles(config, "model")) {
    for (const auto& [name, module] : model.named_modules()) {
      if (auto* layer = dynamic_cast<nn::FastPath*>(module)) layer->take_fast_path();
    }
    tools::log_info("The model's layers take their fast paths (compile.enable)");
  }
  if (compiles(config, "loss")) {
    compile_loss(model.submodule(output), output, context, config);
  }
}

}  // namespace titan::parallel
