#include "components/quantization/capability.h"
#include "components/quantization/conversion_report.h"
#include "components/quantization/linear_converters.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/converted_linears.h"
#include "titan/components/quantization/linear_bias.h"
#include "titan/components/quantization/mx_linear.h"
#include "titan/config/job_config.h"
#include "titan/nn/linear.h"

namespace titan::components {

namespace {

struct MXRecipe {
  MXScaling scaling;
  MXProducts products;
};

/// Throws ConfigError where this rank's device lacks the products. The config knows no other names than these three.
MXRecipe recipe_of(const std::string& name, const comm::RankContext& context) {
  if (name == "mxfp8_emulated") return {MXScaling::kFloor, MXProducts::kEmulated};
  const std::string converter = concat("quantize.linear.mx.recipe_name = \"", name, "\"");
  check_capability(context, {converter.c_str(), 100, "\"mxfp8_emulated\"", "the model's own type"});
  return {name == "mxfp8_cublas" ? MXScaling::kFloor : MXScaling::kRceil, MXProducts::kScaled};
}

class MXConverter : public protocols::ModelConverter {
 public:
  MXConverter(const config::JobConfig& config, const comm::RankContext& context)
      : options_(config.quantize.linear.mx),
        recipe_(recipe_of(options_.recipe_name, context)),
        report_(config, context, "linear layers", "filter_fqns") {}

  void convert(protocols::ModelProtocol& model) override {
    const Selection selection =
        select_linears(model, options_.filter_fqns, config::Float8Recipe::kTensorwise, kMXBlock);
    for (const auto& [name, module] : selection.converted) {
      const auto& linear = static_cast<const nn::Linear&>(*module);
      converted_->add(*module);
      module->wrap_forward([&linear, recipe = recipe_, bias = bias_of(*module)](
                               const nn::Module::Forward&, const nn::Inputs& inputs) {
        const at::Tensor y =
            mx_linear(inputs.at(0), linear.weight().tensor, recipe.scaling, recipe.products);
        return nn::Tensors{bias == nullptr ? y : with_bias(y, bias->tensor)};
      });
    }
    report_.tell(concat("MXFP8 training with the recipe ", options_.recipe_name), selection);
  }

  std::shared_ptr<parallel::LinearExtension> linear_extension() override { return converted_; }

 private:
  config::MXLinear options_;
  MXRecipe recipe_;
  ConversionReport report_;
  std::shared_ptr<ConvertedLinears> converted_ = std::make_shared<ConvertedLinears>();
};

}  // namespace

std::unique_ptr<protocols::ModelConverter> build_mx_converter(const config::JobConfig& config,
                                                              const comm::RankContext& context) {
  return std::make_unique<MXConverter>(config, context);
}

}  // namespace titan::components
