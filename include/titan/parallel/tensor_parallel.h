#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/nn/module.h"
#include "titan/parallel/placement.h"

namespace titan::config {
struct Parallelism;
}

namespace titan::parallel {

/// Whether logits stay cut along the vocabulary over the ranks of `tp`, and the loss is computed so: the
/// plan, the loss and who wants whole logits have to agree.
bool computes_loss_in_parts(const mesh::ParallelDims& dims, const config::Parallelism& parallelism);

// The styles of a plan: what is done to a module, and how tensors lie on the tensor-parallel ranks at its
// boundary. What comes in as `input`, or is to go out as `output`, is sent where the style's own placement
// is another. The names are those of torch.distributed.tensor.parallel.

/// Each rank computes a part of the output features. nn::Linear: weight cut by rows; takes `shared`, gives
/// `cut(-1)`. nn::Embedding: table cut by columns; takes `whole` ids.
struct Colwise {
  std::optional<Placement> input = std::nullopt;
  Placement output = Placement::cut(-1);
};

/// Each rank has a part of the input features. nn::Linear: weight cut by columns; takes `cut(-1)`, gives
/// `partial`. nn::Embedding: table cut by rows (vocabulary); takes `whole` ids, gives `partial`.
struct Rowwise {
  std::optional<Placement> input = std::nullopt;
  Placement output = Placement::whole();
};

/// Whole parameters, applied to a part of the tokens: in and out `cut(dim)`. Their gradients are summed over
/// the ranks.
struct SequenceParallel {
  std::int64_t dim = 1;
};

/// Whole parameters, and the same work on every rank. `shared`: what comes out is used for different parts
/// of the work, so that the parameters' gradients are summed over the ranks; `whole`: they are the same.
struct NoParallel {
  Placement placement = Placement::shared();
};

/// Moves tensors that go into a module, by place; nothing is done to the others.
struct PrepareInput {
  std::vector<std::optional<Move>> inputs;
  /// Modules below, Colwise, that take the first input as it is: they may multiply its parts while others arrive.
  std::vector<std::string> feeds = {};
};

/// The same, and those that come out.
struct PrepareInputOutput {
  std::vector<std::optional<Move>> inputs;
  std::vector<std::optional<Move>> outputs;
};

/// The module's own parameters, by name, cut along a dimension each: what it makes of `shared` is then `partial`, as a SwiGLU's is
/// when its hidden features are cut.
struct CutParameters {
  std::vector<std::pair<std::string, std::int64_t>> dims;
};

/// Nothing is done: something else cuts the module, and knows what its gradients are.
struct LeftAlone {};

using TensorStyle = std::variant<Colwise, Rowwise, SequenceParallel, NoParallel, PrepareInput,
                                 PrepareInputOutput, CutParameters, LeftAlone>;

/// A line of a model's plan: modules by pattern (module_pattern.h), and their style.
struct TensorPlanLine {
  std::string modules;
  TensorStyle style;
};
using TensorPlan = std::vector<TensorPlanLine>;

/// The lines whose modules a model has, for plans of models whose flavors have different kinds of layers.
TensorPlan lines_that_fit(nn::Module& model, TensorPlan lines);

/// When tensors are gathered and summed for matrix products.
enum class TransferMode {
  kBefore,   ///< before them, or behind
  kOverlap,  ///< while they go on (comm/overlapped_products.h): async tensor parallelism
};

/// Applies a plan to a model on the meta device, over the ranks of `tp`: cuts parameters, and puts the
/// communication around the modules. Without tensor parallelism nothing is done. Apply it before anything
/// else is attached to the model.
///
/// Throws InternalError for a line that fits no module or whose style its modules cannot have, and for a
/// module with parameters that no line says a style of: its gradients would be wrong.
void apply_tensor_parallel(nn::Module& model, const TensorPlan& plan,
                           const comm::RankContext& context,
                           TransferMode transfers = TransferMode::kBefore);

}  // namespace titan::parallel
