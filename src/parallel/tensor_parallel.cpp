#include "titan/parallel/tensor_parallel.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <typeinfo>
#include <unordered_set>
#include <utility>

#include "parallel/overlapped_layers.h"
#include "titan/base/errors.h"
#include "titan/config/distributed.h"
#include "titan/nn/chunk.h"
#include "titan/nn/embedding.h"
#include "titan/nn/linear.h"
#include "titan/parallel/layout.h"
#include "titan/parallel/linear_extension.h"
#include "titan/parallel/module_pattern.h"
#include "titan/parallel/plan_observer.h"
#include "titan/tools/logging.h"

namespace titan::parallel {

namespace {

using Moves = std::vector<std::optional<Move>>;

/// The parameters of a module itself, without those of modules below.
std::vector<nn::NamedParameter> own_parameters(const nn::Module& module) {
  std::vector<nn::NamedParameter> result = module.parameter_names();
  std::erase_if(result, [](const nn::NamedParameter& named) {
    return named.name.find('.') != std::string::npos;
  });
  return result;
}

void move_each(nn::Tensors& tensors, const Moves& moves, comm::ProcessGroup& group,
               std::optional<std::int64_t> length) {
  for (std::size_t i = 0; i < moves.size(); ++i) {
    if (moves[i]) tensors.at(i) = redistribute(tensors.at(i), *moves[i], group, length);
  }
}

struct NameOfStyle {
  const char* operator()(const Colwise&) const { return "Colwise"; }
  const char* operator()(const Rowwise&) const { return "Rowwise"; }
  const char* operator()(const SequenceParallel&) const { return "SequenceParallel"; }
  const char* operator()(const NoParallel&) const { return "NoParallel"; }
  const char* operator()(const PrepareInput&) const { return "PrepareInput"; }
  const char* operator()(const PrepareInputOutput&) const { return "PrepareInputOutput"; }
  const char* operator()(const CutParameters&) const { return "CutParameters"; }
  const char* operator()(const LeftAlone&) const { return "LeftAlone"; }
};

constexpr const char* kOverlapped = ", overlapped";
constexpr const char* kOtherForm = ", in a form of its own";

/// Applies styles to one module after the other.
class Application {
 public:
  Application(const comm::RankContext& context, TransferMode transfers)
      : axis_(axis_of(mesh::MeshDim::kTp)),
        group_(context.group(mesh::MeshDim::kTp)),
        overlaps_(transfers == TransferMode::kOverlap),
        extension_(LinearExtensionScope::current()),
        observer_(context.plan_observer) {}

  void apply(const std::string& name, nn::Module& module, const TensorPlanLine& line) {
    name_ = name;
    done_ = {name, line.modules, std::visit(NameOfStyle(), line.style), &module, {}, {}, {}};
    std::visit([&](const auto& kind) { apply(module, kind); }, line.style);
    if (observer_ != nullptr && module.is_here()) observer_->styled(done_);
  }

  /// Linear layers that would be overlapped but for who makes their products.
  std::int64_t not_overlapped() const { return not_overlapped_; }

  /// Every module with parameters has got a style.
  void check_complete(nn::Module& model) const {
    std::string forgotten;
    for (const auto& [name, module] : model.named_modules()) {
      if (own_parameters(*module).empty() || styled_.contains(module)) continue;
      forgotten += concat(forgotten.empty() ? "'" : ", '", name, "'");
    }
    TITAN_CHECK(forgotten.empty(), "the tensor-parallel plan says no style for ", forgotten);
  }

 private:
  void apply(nn::Module& module, const Colwise& style) {
    const bool embeds = dynamic_cast<const nn::Embedding*>(&module) != nullptr;
    const std::int64_t features = cut_weight(module, embeds ? 1 : 0, "Colwise");
    const Placement input = embeds ? Placement::whole() : Placement::shared();
    const Move before = {style.input.value_or(input), input};
    if (overlaps(module, before)) {
      note("in", {before}, kOverlapped);
      overlap_gather(module, {&module}, before.from.dim(), group_);
    } else if (gathers_other_form({&module}, before)) {
      gather_other_form(module, before);
    } else {
      move_input(module, before);
    }
    move_output(module, {Placement::cut(-1), style.output}, features);
  }

  void apply(nn::Module& module, const Rowwise& style) {
    const bool embeds = dynamic_cast<const nn::Embedding*>(&module) != nullptr;
    const std::int64_t length = cut_weight(module, embeds ? 0 : 1, "Rowwise");
    const Placement input = embeds ? Placement::whole() : Placement::cut(-1);
    move_input(module, {style.input.value_or(input), input});
    if (embeds) look_up_own_rows(module, length);
    const Move behind = {Placement::partial(), style.output};
    if (overlaps(module, behind)) {
      note("out", {behind}, kOverlapped);
      overlap_scatter(module, behind.to.dim(), group_);
    } else {
      move_output(module, behind, std::nullopt);
    }
  }

  void apply(nn::Module& module, const SequenceParallel&) { keep_whole(module, /*sums=*/true); }

  void apply(nn::Module& module, const NoParallel& style) {
    TITAN_CHECK(style.placement == Placement::whole() || style.placement == Placement::shared(),
                "NoParallel on a tensor that is ", style.placement.text());
    keep_whole(module, style.placement == Placement::shared());
  }

  void apply(nn::Module& module, const PrepareInput& style) {
    std::vector<nn::Module*> fed;
    for (const std::string& name : style.feeds) fed.push_back(&module.submodule(name));
    const bool overlapped = !fed.empty() && style.inputs.at(0) &&
                            std::ranges::all_of(fed, [&](const nn::Module* below) {
                              return overlaps(*below, *style.inputs[0]);
                            });
    Moves moves = style.inputs;
    if (overlapped) {
      note("in", {moves[0]}, kOverlapped);
      overlap_gather(module, fed, moves[0]->from.dim(), group_);
      moves[0].reset();
    } else if (moves.at(0) && gathers_other_form(fed, *moves[0])) {
      gather_other_form(module, *moves[0]);
      moves[0].reset();
    }
    move_inputs(module, moves);
  }

  void apply(nn::Module& module, const PrepareInputOutput& style) {
    move_inputs(module, style.inputs);
    note("out", style.outputs);
    module.add_post_forward_hook([&group = group_, moves = style.outputs](
                                     nn::Module&, const nn::Inputs&, nn::Tensors& outputs) {
      move_each(outputs, moves, group, std::nullopt);
    });
  }

  void apply(nn::Module& module, const CutParameters& style) {
    const std::vector<nn::NamedParameter> own = own_parameters(module);
    TITAN_CHECK(own.size() == style.dims.size(), "the tensor-parallel plan cuts ",
                style.dims.size(), " parameters of '", name_, "', which has ", own.size());
    for (const auto& [name, dim] : style.dims) {
      const auto found = std::ranges::find(own, name, &nn::NamedParameter::name);
      TITAN_CHECK(found != own.end(), "'", name_, "' has no parameter '", name, "'");
      found->parameter->cut({axis_, dim, group_.size(), group_.rank()});
    }
    set_styled(module);
    done_.parameters = own;
  }

  void apply(nn::Module& module, const LeftAlone&) { set_styled(module); }

  /// Whether the module's product can go on while its input or its output is moved so: nothing but nn::Linear
  /// has that product.
  bool overlaps(const nn::Module& module, const Move& move) {
    const bool gathers =
        move.from.kind() == Placement::Kind::kCut && move.to == Placement::shared();
    const bool scatters =
        move.from == Placement::partial() && move.to.kind() == Placement::Kind::kCut;
    if (!overlaps_ || !(gathers || scatters) || typeid(module) != typeid(nn::Linear)) return false;
    if (extension_ == nullptr || !extension_->multiplies(module)) return true;
    ++not_overlapped_;
    return false;
  }

  /// Whether all who take what a move gathers take it in another form.
  bool gathers_other_form(const std::vector<nn::Module*>& fed, const Move& move) const {
    return extension_ != nullptr && !fed.empty() && move.from.kind() == Placement::Kind::kCut &&
           move.to == Placement::shared() &&
           std::ranges::all_of(fed, [&](const nn::Module* linear) {
             return extension_->takes_other_form(*linear);
           });
  }

  void gather_other_form(nn::Module& module, const Move& move) {
    note("in", {move}, kOtherForm);
    module.add_pre_forward_hook([extension = extension_, dim = move.from.dim(), &group = group_](
                                    nn::Module&, nn::Inputs& inputs) {
      inputs.tensors.at(0) = extension->gather(inputs.at(0), dim, group);
    });
  }

  /// Cuts a module's matrix, and where that has each rank make other features, its bias, and returns the length of the dimension.
  std::int64_t cut_weight(nn::Module& module, std::int64_t dim, const char* style) {
    const std::vector<nn::NamedParameter> own = own_parameters(module);
    const bool is_matrix = dynamic_cast<const nn::Linear*>(&module) != nullptr ||
                           dynamic_cast<const nn::Embedding*>(&module) != nullptr;
    const bool has_bias = is_matrix && own.size() == 2 && own.back().name == "bias";
    TITAN_CHECK(is_matrix && (own.size() == 1 || has_bias), "the tensor-parallel plan makes '",
                name_, "' ", style, ", which is no linear layer and no embedding");
    TITAN_CHECK(!has_bias || dim == 0, "the tensor-parallel plan makes '", name_, "' ", style,
                ", which has a bias: it would be added on every rank");
    if (has_bias) own.back().parameter->cut({axis_, 0, group_.size(), group_.rank()});
    nn::Parameter& weight = *own.front().parameter;
    const auto before = std::ranges::find(weight.cuts, axis_, &nn::Cut::axis);
    if (before == weight.cuts.end()) {
      weight.cut({axis_, dim, group_.size(), group_.rank()});
    } else {
      TITAN_CHECK(before->dim == dim, "the tensor-parallel plan cuts '", name_,
                  ".weight', which another module shares, in two ways");
    }
    set_styled(module);
    done_.parameters = own;
    return weight.full_sizes[static_cast<std::size_t>(dim)];
  }

  void keep_whole(nn::Module& module, bool sums) {
    for (const auto& [name, parameter] : module.parameter_names()) {
      if (sums && std::ranges::count(parameter->partial_over, axis_) == 0) {
        parameter->partial_over.push_back(axis_);
      }
    }
    done_.parameters = module.parameter_names();
    for (const auto& [name, below] : module.named_modules()) set_styled(*below);
  }

  void set_styled(const nn::Module& module) {
    TITAN_CHECK(styled_.insert(&module).second, "two lines of the tensor-parallel plan fit '",
                name_, "'");
  }

  /// Ids of rows that other ranks have give zeros.
  void look_up_own_rows(nn::Module& module, std::int64_t rows) const {
    const nn::Parameter& table = *own_parameters(module).front().parameter;
    const nn::Chunk own = nn::chunk_of(rows, group_.size(), group_.rank());
    module.wrap_forward(
        [own, &table](const nn::Module::Forward& look_up, const nn::Inputs& inputs) {
          const at::Tensor local = inputs.at(0) - own.offset;
          if (own.length == 0) {
            // Nothing to look up, but backward is to pass here as on the other ranks.
            std::vector<std::int64_t> sizes = local.sizes().vec();
            sizes.push_back(table.tensor.size(1));
            return nn::Tensors{at::zeros(sizes, table.tensor.options()) + table.tensor.sum()};
          }
          const at::Tensor others = (local < 0).logical_or_(local >= own.length);
          nn::Inputs masked(inputs);
          masked.tensors[0] = local.masked_fill(others, 0);
          return nn::Tensors{look_up(masked).at(0).masked_fill(others.unsqueeze(-1), 0.0)};
        });
  }

  void move_inputs(nn::Module& module, const Moves& moves) {
    note("in", moves);
    module.add_pre_forward_hook([&group = group_, moves](nn::Module&, nn::Inputs& inputs) {
      move_each(inputs.tensors, moves, group, std::nullopt);
    });
  }

  void move_input(nn::Module& module, const Move& move) {
    if (move.from != move.to) move_inputs(module, {move});
  }

  /// `length`: of the dimension that is cut, which is a feature's.
  void move_output(nn::Module& module, const Move& move, std::optional<std::int64_t> length) {
    if (move.from == move.to) return;
    note("out", {move});
    module.add_post_forward_hook([&group = group_, moves = Moves{move}, length](
                                     nn::Module&, const nn::Inputs&, nn::Tensors& outputs) {
      move_each(outputs, moves, group, length);
    });
  }

  /// What is sent for tensors at a side of the boundary; throws for moves that there are not.
  void note(const std::string& side, const Moves& moves, const char* how = "") {
    for (std::size_t place = 0; place < moves.size(); ++place) {
      if (!moves[place]) continue;
      const MoveText text = text_of(*moves[place]);
      const std::string where = moves.size() == 1 ? side + ": " : concat(side, " ", place, ": ");
      if (!text.forward.empty()) done_.forward.push_back(where + text.forward + how);
      if (!text.backward.empty()) done_.backward.push_back(where + text.backward + how);
    }
  }

  nn::Axis axis_;
  comm::ProcessGroup& group_;
  bool overlaps_;
  std::shared_ptr<LinearExtension> extension_;
  std::int64_t not_overlapped_ = 0;
  PlanObserver* observer_;
  std::string name_;
  StyledModule done_;
  std::unordered_set<const nn::Module*> styled_;
};

}  // namespace

bool computes_loss_in_parts(const mesh::ParallelDims& dims,
                            const config::Parallelism& parallelism) {
  return dims.tp_enabled() && !parallelism.disable_loss_parallel;
}

TensorPlan lines_that_fit(nn::Module& model, TensorPlan lines) {
  std::erase_if(lines, [&](const TensorPlanLine& line) {
    return modules_matching(model, line.modules).empty();
  });
  return lines;
}

void apply_tensor_parallel(nn::Module& model, const TensorPlan& plan,
                           const comm::RankContext& context, TransferMode transfers) {
  if (!context.dims.tp_enabled()) return;
  Application application(context, transfers);
  for (const TensorPlanLine& line : plan) {
    const auto modules = modules_matching(model, line.modules);
    TITAN_CHECK(!modules.empty(), "no module fits '", line.modules,
                "', a line of the tensor-parallel plan");
    for (const auto& [name, module] : modules) application.apply(name, *module, line);
  }
  application.check_complete(model);
  tools::log_info("Applied Tensor Parallelism to the model");
  if (transfers != TransferMode::kOverlap) return;
  tools::log_info("Async TP is enabled");
  if (application.not_overlapped() > 0) {
    tools::log_warning(
        "Async TP: the products of ", application.not_overlapped(),
        " linear layers are made in low precision, before or behind what is sent for them");
  }
}

}  // namespace titan::parallel
