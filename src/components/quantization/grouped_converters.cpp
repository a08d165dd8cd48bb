#include "components/quantization/grouped_converters.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/silu.h>

#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include "components/quantization/capability.h"
#include "components/quantization/conversion_report.h"
#include "titan/base/errors.h"
#include "titan/components/quantization/grouped_products.h"
#include "titan/components/quantization/mx.h"
#include "titan/config/job_config.h"
#include "titan/nn/moe/grouped_experts.h"
#include "titan/parallel/layout.h"

namespace titan::components {

namespace {

/// A grouped product with the weights of one parameter.
using Product = std::function<at::Tensor(const at::Tensor& rows, const nn::Parameter& weights,
                                         const at::Tensor& counts)>;

/// The experts' SwiGLU with other products. As the original's grouped products, it takes and gives bfloat16.
at::Tensor experts_output(const nn::Module& experts, const nn::Inputs& inputs,
                          const Product& product) {
  const std::vector<nn::NamedParameter> parameters = experts.parameter_names();
  const auto weights = [&](const char* name) -> const nn::Parameter& {
    return *std::ranges::find(parameters, name, &nn::NamedParameter::name)->parameter;
  };
  const at::Tensor rows = inputs.at(0).to(at::kBFloat16);
  const at::Tensor& counts = inputs.at(1);
  const at::Tensor hidden =
      at::silu(product(rows, weights("w1"), counts)) * product(rows, weights("w3"), counts);
  return product(hidden, weights("w2"), counts).to(inputs.at(0).scalar_type());
}

/// The ranks that the hidden features of experts are spread over, as their weights now are.
ExpertRanks expert_ranks(const nn::Parameter& weights, const comm::Groups& groups) {
  for (const nn::Cut& cut : weights.cuts) {
    const mesh::MeshDim dim = parallel::mesh_dim_of(cut.axis);
    if (cut.dim > 0 && (dim == mesh::MeshDim::kTp || dim == mesh::MeshDim::kEtp)) {
      return {&groups.find(dim), static_cast<int>(cut.dim)};
    }
  }
  return {};
}

void check_features(const std::string& name, const nn::Module& experts, std::int64_t multiple) {
  for (const auto& [weights, parameter] : experts.parameter_names()) {
    const std::int64_t out = parameter->full_sizes.at(1);
    const std::int64_t in = parameter->full_sizes.at(2);
    if (out % multiple == 0 && in % multiple == 0) continue;
    throw ConfigError(concat("quantize.grouped_mm: the experts ", name, " have weights of ", out,
                             " x ", in, ", not multiples of ", multiple,
                             "; leave their name out of fqns"));
  }
}

/// How experts are to multiply.
struct OtherProducts {
  std::string what;
  std::int64_t multiple;  // of features
  Product product;
};

/// Gives the experts whose name contains one of `fqns` other products.
void convert_experts(protocols::ModelProtocol& model, const std::vector<std::string>& fqns,
                     const OtherProducts& products, ConversionReport& report) {
  Selection selection{{}, {}, fqns};
  for (const auto& [name, module] : model.named_modules()) {
    if (dynamic_cast<const nn::GroupedExperts*>(module) == nullptr) continue;
    const auto is_in_name = [&name](const std::string& part) {
      return name.find(part) != std::string::npos;
    };
    std::erase_if(selection.unmatched, is_in_name);
    if (std::ranges::none_of(fqns, is_in_name)) {
      selection.left.emplace_back(name, "fqns has no part of this name");
      continue;
    }
    selection.converted.emplace_back(name, module);
    check_features(name, *module, products.multiple);
    module->wrap_forward(
        [module, product = products.product](const nn::Module::Forward&, const nn::Inputs& inputs) {
          return nn::Tensors{experts_output(*module, inputs, product)};
        });
  }
  report.tell(products.what, selection);
}

/// Where at::_scaled_grouped_mm ends (LibTorch's _scaled_mm_allowed_device).
constexpr int kBelow = 110;

class GroupedFloat8Converter : public protocols::ModelConverter {
 public:
  GroupedFloat8Converter(const config::JobConfig& config, const comm::RankContext& context)
      : options_(config.quantize.grouped_mm.float8),
        context_(context),
        report_(config, context, "mixtures of experts", "fqns") {
    if (!options_.emulate) check_capability(context_, kGroupedFloat8);
  }

  void convert(protocols::ModelProtocol& model) override {
    const Float8Products products =
        options_.emulate ? Float8Products::kEmulated : Float8Products::kScaled;
    const Product product = [products, groups = context_.groups](const at::Tensor& rows,
                                                                 const nn::Parameter& weights,
                                                                 const at::Tensor& counts) {
      return float8_grouped_product(rows, weights.tensor.to(at::kBFloat16), counts, products,
                                    expert_ranks(weights, *groups));
    };
    convert_experts(
        model, options_.fqns,
        {concat("Float8 grouped products", options_.emulate ? ", emulated" : ""), 16, product},
        report_);
  }

 private:
  static constexpr RequiredCapability kGroupedFloat8 = {"quantize.grouped_mm.float8", 90,
                                                        "quantize.grouped_mm.float8.emulate = true",
                                                        "float32", kBelow};

  config::Float8GroupedMM options_;
  comm::RankContext context_;
  ConversionReport report_;
};

class GroupedMXConverter : public protocols::ModelConverter {
 public:
  GroupedMXConverter(const config::JobConfig& config, const comm::RankContext& context)
      : options_(config.quantize.grouped_mm.mx),
        report_(config, context, "mixtures of experts", "fqns") {
    if (!is_emulated()) check_capability(context, kGroupedMX);
  }

  void convert(protocols::ModelProtocol& model) override {
    const MXProducts products = is_emulated() ? MXProducts::kEmulated : MXProducts::kScaled;
    const Product product = [products](const at::Tensor& rows, const nn::Parameter& weights,
                                       const at::Tensor& counts) {
      return mx_grouped_product(rows, weights.tensor.to(at::kBFloat16), counts, products);
    };
    convert_experts(
        model, options_.fqns,
        {concat("MXFP8 grouped products", is_emulated() ? ", emulated" : ""), kMXBlock, product},
        report_);
  }

 private:
  static constexpr RequiredCapability kGroupedMX = {
      "quantize.grouped_mm.mx.recipe_name = \"mxfp8\"", 100, "\"mxfp8_emulated\"", "bfloat16",
      kBelow};

  bool is_emulated() const {
    return options_.recipe_name == config::MXGroupedMMRecipe::kMxfp8Emulated;
  }

  config::MXGroupedMM options_;
  ConversionReport report_;
};

}  // namespace

std::unique_ptr<protocols::ModelConverter> build_grouped_float8_converter(
    const config::JobConfig& config, const comm::RankContext& context) {
  return std::make_unique<GroupedFloat8Converter>(config, context);
}

std::unique_ptr<protocols::ModelConverter> build_grouped_mx_converter(
    const config::JobConfig& config, const comm::RankContext& context) {
  return std::make_unique<GroupedMXConverter>(config, context);
}

}  // namespace titan::components
