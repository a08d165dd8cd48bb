#include <set>

#include "components/quantization/capability.h"
#include "components/quantization/conversion_report.h"
#include "components/quantization/linear_converters.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/float8_all_gather.h"
#include "titan/components/quantization/float8_input_gather.h"
#include "titan/components/quantization/float8_linear.h"
#include "titan/components/quantization/linear_bias.h"
#include "titan/config/job_config.h"
#include "titan/nn/linear.h"
#include "titan/parallel/layout.h"
#include "titan/tools/logging.h"

namespace titan::components {

namespace {

constexpr RequiredCapability kFloat8 = {"quantize.linear.float8", 89,
                                        "quantize.linear.float8.emulate = true"};

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
      : options_(config.quantize.linear.float8),
        context_(context),
        report_(config, context, "linear layers", "filter_fqns") {
    if (options_.recipe_name == config::Float8Recipe::kBlockwise && !options_.emulate) {
      throw ConfigError(
          "quantize.linear.float8.recipe_name = \"blockwise\" is emulated only: its products are "
          "not "
          "built in for GPUs yet; set quantize.linear.float8.emulate = true");
    }
    if (!options_.emulate) check_capability(context_, kFloat8);
    if (options_.enable_fsdp_float8_all_gather && context_.dims.dp_shard_enabled()) {
      all_gather_ = std::make_shared<Float8AllGather>(context_.groups);
    }
    if (recipe() == config::Float8Recipe::kTensorwise) {
      input_gather_ = std::make_shared<Float8InputGather>();
      converted_ = input_gather_;
    }
  }

  void convert(protocols::ModelProtocol& model) override {
    const Selection selection = select_linears(model, options_.filter_fqns, recipe());
    if (all_gather_) gather_in_float8(model, selection);
    const Float8LinearOptions how = {
        recipe(), options_.emulate ? Float8Products::kEmulated : Float8Products::kScaled};
    for (const auto& [name, module] : selection.converted) {
      const auto& linear = static_cast<const nn::Linear&>(*module);
      converted_->add(*module);
      module->wrap_forward([&linear, how, groups = context_.groups, all_gather = all_gather_,
                            bias = bias_of(*module), input_gather = input_gather_](
                               const nn::Module::Forward&, const nn::Inputs& inputs) {
        Float8LinearOptions options = how;
        if (input_gather) options.x_values = input_gather->gathered(inputs.at(0));
        options.ranks = weight_ranks(linear, *groups);
        if (all_gather) options.weight_values = all_gather->gathered(linear.weight());
        const at::Tensor y = float8_linear(inputs.at(0), linear.weight().tensor, options);
        return nn::Tensors{bias == nullptr ? y : with_bias(y, bias->tensor)};
      });
    }
    report_.tell(concat("Float8 training with the recipe ", config::to_string(recipe()),
                        options_.emulate ? ", emulated" : ""),
                 selection);
  }

  std::shared_ptr<parallel::LinearExtension> linear_extension() override { return converted_; }

  void after_parallelize(const protocols::ModelParts& parts) override {
    if (all_gather_ == nullptr) return;
    for (const protocols::ModelPart& part : parts) part.sharding->extend(all_gather_);
  }

  void after_optimizer_step(const protocols::ModelParts&) override {
    if (all_gather_ == nullptr) return;
    if (options_.precompute_float8_dynamic_scale_for_fsdp) {
      all_gather_->compute_scales();
    } else {
      all_gather_->forget_scales();
    }
  }

 private:
  config::Float8Recipe recipe() const {
    return options_.recipe_name.value_or(config::Float8Recipe::kTensorwise);
  }

  /// Weights that other modules read, too, are gathered as they are: an embedding takes no float8.
  void gather_in_float8(const nn::Module& model, const Selection& selection) {
    std::set<std::string> converted;
    for (const auto& [name, module] : selection.converted) converted.insert(name + ".weight");
    std::set<const nn::Parameter*> of_others;
    for (const auto& [name, parameter] : model.parameter_names()) {
      if (!converted.contains(name)) of_others.insert(parameter);
    }
    for (const auto& [name, module] : selection.converted) {
      const nn::Parameter& weight = static_cast<const nn::Linear&>(*module).weight();
      if (!of_others.contains(&weight)) {
        all_gather_->add(weight);
      } else if (context_.rank == 0) {
        tools::log_info("  the weight of ", name, " is not gathered in float8: it is tied");
      }
    }
  }

  config::Float8Linear options_;
  comm::RankContext context_;
  ConversionReport report_;
  std::shared_ptr<Float8AllGather> all_gather_;      // null: weights are gathered as they are
  std::shared_ptr<Float8InputGather> input_gather_;  // null: tokens are
  std::shared_ptr<ConvertedLinears> converted_ = std::make_shared<ConvertedLinears>();
};

}  // namespace

std::unique_ptr<protocols::ModelConverter> build_float8_converter(
    const config::JobConfig& config, const comm::RankContext& context) {
  return std::make_unique<Float8Converter>(config, context);
}

}  // namespace titan::components
