#include "components/quantization/emulated_operators.h"
#include "components/quantization/grouped_format.h"
#include "titan/nn/moe/grouped_product.h"

namespace titan::components {

namespace {

using at::Tensor;

constexpr at::ScalarType kType = at::kBFloat16;
constexpr MXScaling kScaling = MXScaling::kRceil;

class Emulated : public GroupedFormat {
 public:
  /// Blocks are within a rank's part of n.
  Tensor product(const Tensor& rows, const Tensor& matrices, const Tensor& counts,
                 comm::ProcessGroup*) const override {
    return nn::grouped_product(through_mx(rows, kScaling, kType),
                               through_mx(matrices, kScaling, kType), counts);
  }

  Tensor weights_gradient(const Tensor& gradient, const Tensor& rows,
                          const Tensor& counts) const override {
    return nn::grouped_product_weights_gradient(
        through_mx_by_group(gradient, counts, kScaling, kType),
        through_mx_by_group(rows, counts, kScaling, kType), counts);
  }
};

}  // namespace

const GroupedFormat& grouped_mx() {
  static const Emulated emulated;
  return emulated;
}

}  // namespace titan::components
