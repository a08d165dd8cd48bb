#include "titan/components/quantization/converters.h"

#include <algorithm>
#include <memory>

#include "titan/base/errors.h"
#include "titan/components/quantization/float8_linear.h"
#include "titan/components/quantization/mx_linear.h"
#include "titan/config/job_config.h"
#include "titan/nn/linear.h"
#include "titan/parallel/layout.h"
#include "titan/protocols/model_converter.h"
#include "titan/tools/accelerator.h"
#include "titan/tools/logging.h"

namespace titan::components {

namespace {

/// Compute capability of the first GPUs with float8 units, times ten.
constexpr int kFloat8Capability = 89;

/// The loss that is made with the last product takes its weight as it is.
void check_loss(const config::JobConfig& config, const LinearSelection& selection) {
  const config::Compile& compile = config.compile;
  if (!compile.enable || std::ranges::count(compile.components, "loss") == 0) return;
  for (const auto& [name, module] : selection.converted) {
    if (name != "output") continue;
    throw ConfigError(
        "compile.components: \"loss\" makes the product of the module \"output\" itself, not in "
        "low "
        "precision; add \"output\" to filter_fqns, or leave \"loss\" out");
  }
}

void log(const comm::RankContext& context, const std::string& how,
         const LinearSelection& selection) {
  if (context.rank != 0) return;
  tools::log_info(how, ": ", selection.converted.size(), " linear layers");
  for (const auto& [name, reason] : selection.left) {
    tools::log_info("  ", name, " stays as it is: ", reason);
  }
}

void check_transfers(const config::JobConfig& config, const char* converter) {
  const config::Parallelism& parallelism = config.parallelism;
  if (parallelism.enable_async_tensor_parallel && parallelism.tensor_parallel_degree > 1) {
    throw ConfigError(
        concat("parallelism.enable_async_tensor_parallel: products that go on while tensors are on "
               "their way "
               "are not made in low precision; leave it out, or ",
               converter));
  }
}

/// The ranks that a linear layer's weight is spread over by tensor parallelism, as it is now.
WeightRanks weight_ranks(const nn::Linear& linear, const comm::Groups& groups) {
  for (const nn::Cut& cut : linear.weight().cuts) {
    if (cut.axis == parallel::axis_of(mesh::MeshDim::kTp)) {
      return {&groups.find(mesh::MeshDim::kTp), static_cast<int>(cut.dim)};
    }
  }
  return {};
}

class Float8Converter : public protocols::ModelConverter {
 public:
  Float8Converter(const config::JobConfig& config, const comm::RankContext& context)
      : config_(config), options_(config.quantize.linear.float8), context_(context) {
    check_transfers(config, "quantize.linear.float8");
    if (!options_.emulate) check_device();
  }

  void convert(protocols::ModelProtocol& model) override {
    const config::Float8Recipe recipe =
        options_.recipe_name.value_or(config::Float8Recipe::kTensorwise);
    const LinearSelection selection = select_linears(model, options_.filter_fqns, recipe);
    check_loss(config_, selection);
    const Float8Products products =
        options_.emulate ? Float8Products::kEmulated : Float8Products::kScaled;
    for (const auto& [name, module] : selection.converted) {
      const auto& linear = static_cast<const nn::Linear&>(*module);
      module->wrap_forward([&linear, recipe, products, groups = context_.groups](
                               const nn::Module::Forward&, const nn::Inputs& inputs) {
        return nn::Tensors{float8_linear(inputs.at(0), linear.weight().tensor, recipe, products,
                                         weight_ranks(linear, *groups))};
      });
    }
    log(context_,
        concat("Float8 training with the recipe ", config::to_string(recipe),
               options_.emulate ? ", emulated" : ""),
        selection);
  }

 private:
  void check_device() const {
    constexpr const char* kHint =
        "; quantize.linear.float8.emulate = true rounds in the same way and multiplies in float32";
    if (context_.kernels() != at::kCUDA) {
      throw ConfigError(concat("quantize.linear.float8: a CPU has no float8 products", kHint));
    }
    if (context_.device.type() != at::kCUDA) return;  // a forecast
    const tools::AcceleratorSearch search = tools::find_accelerator();
    if (search.accelerator == nullptr) return;
    const tools::DeviceFacts facts = search.accelerator->facts(context_.device.index());
    if (facts.capability < kFloat8Capability) {
      throw ConfigError(
          concat("quantize.linear.float8 needs a GPU of compute capability 8.9 or above; ",
                 facts.name, " has ", facts.capability / 10, ".", facts.capability % 10, kHint));
    }
  }

  config::JobConfig config_;
  config::Float8Linear options_;
  comm::RankContext context_;
};

class MXConverter : public protocols::ModelConverter {
 public:
  MXConverter(const config::JobConfig& config, const comm::RankContext& context)
      : config_(config), options_(config.quantize.linear.mx), context_(context) {
    check_transfers(config, "quantize.linear.mx");
    if (options_.recipe_name == "mxfp8_emulated") return;
    throw ConfigError(
        concat("quantize.linear.mx.recipe_name = \"", options_.recipe_name,
               "\" needs a GPU of compute capability 10.0, and its products are not built in yet; "
               "\"mxfp8_emulated\" rounds in the same way and multiplies in the model's own type"));
  }

  void convert(protocols::ModelProtocol& model) override {
    const LinearSelection selection = select_linears(model, options_.filter_fqns);
    check_loss(config_, selection);
    for (const auto& [name, module] : selection.converted) {
      const auto& linear = static_cast<const nn::Linear&>(*module);
      module->wrap_forward([&linear](const nn::Module::Forward&, const nn::Inputs& inputs) {
        return nn::Tensors{mx_linear(inputs.at(0), linear.weight().tensor, MXScaling::kFloor)};
      });
    }
    log(context_, concat("MXFP8 training with the recipe ", options_.recipe_name), selection);
  }

 private:
  config::JobConfig config_;
  config::MXLinear options_;
  comm::RankContext context_;
};

template <class Converter>
protocols::BuildModelConverterFn builder() {
  return [](const config::JobConfig& config, const comm::RankContext& context) {
    return std::make_unique<Converter>(config, context);
  };
}

}  // namespace

void register_quantization() {
  protocols::register_model_converter("quantize.linear.float8", builder<Float8Converter>());
  protocols::register_model_converter("quantize.linear.mx", builder<MXConverter>());
}

}  // namespace titan::components
