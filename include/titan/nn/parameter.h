#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

namespace titan::nn {

/// A dimension of the job along which ranks share out work, as tensor parallelism. Opaque here: `nn` only
/// tells one from another.
using Axis = int;

/// One axis has cut one dimension of a parameter into `parts`, as torch.chunk cuts; this rank holds part
/// `index`.
struct Cut {
  Axis axis = 0;
  std::int64_t dim = 0;
  std::int64_t parts = 1;
  std::int64_t index = 0;
};

/// Where a tensor lies in a larger one. Its own sizes say how much of it there is.
struct TensorBox {
  std::vector<std::int64_t> full_sizes;
  std::vector<std::int64_t> offsets;
};

/// A trainable tensor, and why this rank holds what it holds of it. Modules that share it (tied weights)
/// share the object.
///
/// Cuts nest: each cuts what the one before has left, so that what a rank holds is one box of the whole.
/// (Two projections fused into one parameter would be two boxes: keep them apart.)
struct Parameter {
  explicit Parameter(at::Tensor whole);

  /// What modules compute with: this rank's box, or the whole of what FSDP has cut while it has gathered it.
  at::Tensor tensor;
  /// Sizes of the whole.
  std::vector<std::int64_t> full_sizes;
  /// Outermost first: tensor or expert parallelism, then FSDP.
  std::vector<Cut> cuts;
  /// Axes over which the gradient of every rank is a part of the sum although the parameter is whole, as
  /// that of a norm whose input is cut along the sequence.
  std::vector<Axis> partial_over;
  /// False: another pipeline stage has it. It keeps its name, and the random numbers for it are drawn and
  /// dropped; `tensor` has no memory.
  bool here = true;
  /// False: an earlier pipeline stage has it as well (tied weights), and stands for both where stages are
  /// added up, as in the norm.
  bool counted = true;

  /// Leaves only the cut's part, of arbitrary contents: for a model that has no memory yet.
  void cut(const Cut& cut);
  /// What this rank holds, after all cuts.
  TensorBox box() const;
  /// Sizes after the first `cuts` cuts.
  std::vector<std::int64_t> sizes_after(std::size_t count) const;

  /// Has `draw` fill the whole and keeps what is this rank's: values do not depend on how a parameter is
  /// cut. Needs the memory of the whole for that time. `drawn_on`: the device of the random numbers, which
  /// are also drawn for a parameter that is not here; nothing: `draw` takes none. Without gradients.
  void fill(const std::function<void(const at::Tensor& full)>& draw,
            std::optional<at::Device> drawn_on = std::nullopt) const;
};

}  // namespace titan::nn
