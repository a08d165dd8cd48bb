#include "titan/components/loss/loss.h"

#include <ATen/core/Reduction.h>
#include <ATen/ops/cross_entropy_loss.h>

#include "titan/protocols/data_loader.h"

namespace titan::components {

at::Tensor cross_entropy_loss(const at::Tensor& prediction, const at::Tensor& labels) {
  return at::cross_entropy_loss(prediction.flatten(0, 1).to(at::kFloat), labels.flatten(0, 1),
                                /*weight=*/{}, at::Reduction::Sum, protocols::kIgnoreIndex);
}

}  // namespace titan::components
