#include "components/quantization/conversion_report.h"
#include "components/quantization/linear_converters.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/converted_linears.h"
#include "titan/components/quantization/mx_linear.h"
#include "titan/config/job_config.h"
#include "titan/nn/linear.h"

namespace titan::components {

namespace {

class MXConverter : public protocols::ModelConverter {
 public:
  MXConverter(const config::JobConfig& config, const comm::RankContext& context)
      : options_(config.quantize.linear.mx), context_(context) {
    if (options_.recipe_name == "mxfp8_emulated") return;
    throw ConfigError(
        concat("quantize.linear.mx.recipe_name = \"", options_.recipe_name,
               "\" needs a GPU of compute capability 10.0, and its products are not built in yet; "
               "\"mxfp8_emulated\" rounds in the same way and multiplies in the model's own type"));
  }

  void convert(protocols::ModelProtocol& model) override {
    const Selection selection =
        select_linears(model, options_.filter_fqns, config::Float8Recipe::kTensorwise, kMXBlock);
    for (const auto& [name, module] : selection.converted) {
      const auto& linear = static_cast<const nn::Linear&>(*module);
      converted_->add(*module);
      module->wrap_forward([&linear](const nn::Module::Forward&, const nn::Inputs& inputs) {
        return nn::Tensors{mx_linear(inputs.at(0), linear.weight().tensor, MXScaling::kFloor)};
      });
    }
    report_.tell(concat("MXFP8 training with the recipe ", options_.recipe_name), selection);
  }

  std::shared_ptr<parallel::LinearExtension> linear_extension() override { return converted_; }

 private:
  config::MXLinear options_;
  comm::RankContext context_;
  ConversionReport report_{context_, "linear layers", "filter_fqns"};
  std::shared_ptr<ConvertedLinears> converted_ = std::make_shared<ConvertedLinears>();
};

}  // namespace

std::unique_ptr<protocols::ModelConverter> build_mx_converter(const config::JobConfig& config,
                                                              const comm::RankContext& context) {
  return std::make_unique<MXConverter>(config, context);
}

}  // namespace titan::components
