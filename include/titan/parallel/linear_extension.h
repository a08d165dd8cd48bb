#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>

#include "titan/comm/process_group.h"
#include "titan/nn/module.h"

namespace titan::config {
struct JobConfig;
}

namespace titan::parallel {

/// What tensor parallelism needs to know of linear layers whose products somebody else makes, in low precision. The twin of
/// torchao's float8_tensor_parallel.py.
class LinearExtension {
 public:
  virtual ~LinearExtension() = default;
  /// Whether it makes the product of this module: then it cannot go on in parts while tensors are on their way.
  virtual bool multiplies(const nn::Module& linear) const = 0;
  /// Whether the module takes its gathered input in another form.
  virtual bool takes_other_form(const nn::Module& linear) const { return false; }
  /// Gathers all ranks' parts of a dimension so. The result has the sizes and the type of the whole; its contents mean nothing but
  /// to these modules. Its gradient is summed over the ranks, each one's part.
  virtual at::Tensor gather(const at::Tensor& part, std::int64_t dim, comm::ProcessGroup& group) {
    return part;
  }
};

/// While it lives, tensor parallelism that is applied by this thread asks `extension`. Null: nobody.
class LinearExtensionScope {
 public:
  explicit LinearExtensionScope(std::shared_ptr<LinearExtension> extension);
  ~LinearExtensionScope();
  LinearExtensionScope(const LinearExtensionScope&) = delete;
  LinearExtensionScope& operator=(const LinearExtensionScope&) = delete;

  static const std::shared_ptr<LinearExtension>& current();

 private:
  std::shared_ptr<LinearExtension> before_;
};

/// Whether, where the scope is, a converter makes a module's product or, being a user's own, may have put a layer around it: who reads
/// the weight beside the module would know of neither.
bool may_be_converted(const nn::Module& module, const config::JobConfig& config);

}  // namespace titan::parallel
