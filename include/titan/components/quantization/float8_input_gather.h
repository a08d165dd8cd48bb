#pragma once

#include <c10/core/TensorImpl.h>
#include <c10/util/intrusive_ptr.h>

#include <optional>

#include "titan/components/quantization/converted_linears.h"
#include "titan/components/quantization/float8.h"

namespace titan::components {

/// Tokens that tensor parallelism gathers in float8 (e4m3) for layers of the recipe tensorwise: each rank rounds its part with the
/// scale of the whole, so that what is multiplied is what it would be behind a gathering in the tokens' own type.
class Float8InputGather : public ConvertedLinears {
 public:
  bool takes_other_form(const nn::Module& linear) const override { return multiplies(linear); }
  at::Tensor gather(const at::Tensor& part, std::int64_t dim, comm::ProcessGroup& group) override;

  /// What a layer multiplies that was called with `x`, as `[tokens, features]`; nothing: `x` itself, which was not gathered here.
  std::optional<Float8Matrix> gathered(const at::Tensor& x) const;

 private:
  c10::weak_intrusive_ptr<c10::TensorImpl> result_{
      c10::intrusive_ptr<c10::TensorImpl>()};  // of the last call
  Float8Matrix values_;
};

}  // namespace titan::components
