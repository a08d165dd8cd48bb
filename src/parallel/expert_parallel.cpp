#include "titan/parallel/expert_parallel.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/custom_function.h>

#include <numeric>
#include <vector>

#include "titan/base/errors.h"
#include "titan/comm/autograd_collectives.h"
#include "titan/nn/moe/moe.h"
#include "titan/parallel/layout.h"
#include "titan/parallel/module_pattern.h"
#include "titan/tools/logging.h"

namespace titan::parallel {

using mesh::MeshDim;

namespace {

using Numbers = std::vector<std::int64_t>;

/// Rows in another order. All are there once, so that the gradient is the same the other way round.
struct Permutation : public torch::autograd::Function<Permutation> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& rows,
                            const at::Tensor& order, const at::Tensor& back) {
    context->save_for_backward({back});
    return rows.index_select(0, order);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    return {gradients[0].index_select(0, context->get_saved_variables()[0]), {}, {}};
  }
};

/// Who sends how many rows to whom, and how what arrives - rank by rank, of each expert by expert - becomes expert by expert.
struct Routes {
  Numbers sent;       // to each rank
  Numbers received;   // from each rank
  at::Tensor counts;  // rows of each expert here, int64
  at::Tensor order;   // of the rows that arrive
  at::Tensor back;
};

/// The numbers of rows between this rank and all others: `[2, ranks, experts here]`, those that it sends to each of their experts,
/// and those that it receives for each of its own.
class CountTable {
 public:
  CountTable(at::Tensor on_host, std::int64_t ranks)
      : counts_(std::move(on_host)), ranks_(ranks), experts_(counts_.size(1) / ranks) {}
  /// In a forecast, where no counts are known: as many rows for each expert.
  CountTable(std::int64_t rows, std::int64_t experts, std::int64_t ranks)
      : rows_(rows), ranks_(ranks), experts_(experts / ranks) {}

  std::int64_t ranks() const { return ranks_; }
  std::int64_t experts() const { return experts_; }
  std::int64_t sent(std::int64_t rank, std::int64_t expert) const { return at(0, rank, expert); }
  std::int64_t received(std::int64_t rank, std::int64_t expert) const {
    return at(1, rank, expert);
  }
  bool is_known() const { return counts_.defined(); }

 private:
  std::int64_t at(std::int64_t side, std::int64_t rank, std::int64_t expert) const {
    const std::int64_t place = rank * experts_ + expert;
    if (is_known()) {
      return counts_.const_data_ptr<std::int64_t>()[side * ranks_ * experts_ + place];
    }
    const std::int64_t all = ranks_ * experts_;
    return rows_ / all + (place < rows_ % all ? 1 : 0);
  }

  at::Tensor counts_;
  std::int64_t rows_ = 0;
  std::int64_t ranks_;
  std::int64_t experts_;
};

/// On the device of the rows; in a forecast without contents.
at::Tensor numbers_on(at::Device device, const Numbers& numbers, bool is_known) {
  const auto whole = at::TensorOptions().dtype(at::kLong);
  if (!is_known) return at::empty({static_cast<std::int64_t>(numbers.size())}, whole);
  return at::tensor(numbers, whole).to(device);
}

Routes routes_of(const CountTable& table, at::Device device) {
  Routes routes;
  Numbers first;  // place among the rows that arrive, of each rank's part for each expert
  std::int64_t arrived = 0;
  for (std::int64_t rank = 0; rank < table.ranks(); ++rank) {
    std::int64_t sent = 0;
    const std::int64_t before = arrived;
    for (std::int64_t expert = 0; expert < table.experts(); ++expert) {
      sent += table.sent(rank, expert);
      first.push_back(arrived);
      arrived += table.received(rank, expert);
    }
    routes.sent.push_back(sent);
    routes.received.push_back(arrived - before);
  }
  Numbers counts;
  Numbers order;
  order.reserve(static_cast<std::size_t>(arrived));
  for (std::int64_t expert = 0; expert < table.experts(); ++expert) {
    const std::size_t before = order.size();
    for (std::int64_t rank = 0; rank < table.ranks(); ++rank) {
      std::int64_t place = first[static_cast<std::size_t>(rank * table.experts() + expert)];
      for (std::int64_t n = table.received(rank, expert); n > 0; --n) order.push_back(place++);
    }
    counts.push_back(static_cast<std::int64_t>(order.size() - before));
  }
  Numbers back(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    back[static_cast<std::size_t>(order[i])] = static_cast<std::int64_t>(i);
  }
  routes.counts = numbers_on(at::kCPU, counts, table.is_known());
  routes.order = numbers_on(device, order, table.is_known());
  routes.back = numbers_on(device, back, table.is_known());
  return routes;
}

/// The layer around the experts.
nn::Tensors on_their_ranks(const nn::Module::Forward& experts, const nn::Inputs& inputs,
                           comm::ProcessGroup& group, bool is_forecast) {
  const at::Tensor& rows = inputs.at(0);
  const at::Tensor& counts = inputs.at(1);
  const at::Tensor exchanged = comm::exchange_counts(counts, group).to(at::kCPU);
  const CountTable table = is_forecast ? CountTable(rows.size(0), counts.size(0), group.size())
                                       : CountTable(exchanged, group.size());
  const Routes routes = routes_of(table, rows.device());
  const at::Tensor arrived = comm::all_to_all(rows, routes.received, routes.sent, group);
  nn::Inputs own(inputs);
  own.tensors = {Permutation::apply(arrived, routes.order, routes.back), routes.counts};
  const at::Tensor done = experts(own).at(0);
  return {comm::all_to_all(Permutation::apply(done, routes.back, routes.order), routes.sent,
                           routes.received, group)};
}

/// The layer around the reorderer: this rank's part of the tokens, by their places among all.
nn::Tensors of_own_tokens(const nn::Module::Forward& reorder, const nn::Inputs& inputs,
                          const comm::ProcessGroup& group) {
  const std::int64_t tokens = inputs.at(0).size(0);
  if (tokens % group.size() != 0) {
    throw RunError(concat("the ", tokens, " tokens of a microbatch cannot be shared out over ",
                          group.size(), " ranks of tensor parallelism"));
  }
  const std::int64_t own = tokens / group.size();
  nn::Inputs part(inputs);
  for (at::Tensor& tensor : part.tensors) tensor = tensor.narrow(0, own * group.rank(), own);
  nn::Tensors outputs = reorder(part);
  outputs.at(1) = outputs.at(1) + own * group.rank() * inputs.at(0).size(1);
  return outputs;
}

void cut_experts(nn::Module& experts, const comm::RankContext& context) {
  const auto cut = [&](nn::Parameter& parameter, MeshDim dim, std::int64_t along) {
    const comm::ProcessGroup& group = context.group(dim);
    parameter.cut({axis_of(dim), along, group.size(), group.rank()});
  };
  for (const auto& [name, parameter] : experts.parameter_names()) {
    TITAN_CHECK(parameter->full_sizes[0] % context.dims.degrees().ep == 0, parameter->full_sizes[0],
                " experts for ", context.dims.degrees().ep, " ranks");
    cut(*parameter, MeshDim::kEp, 0);
    if (context.dims.etp_enabled()) cut(*parameter, MeshDim::kEtp, name == "w2" ? 2 : 1);
  }
}

}  // namespace

void apply_expert_parallel(nn::Module& model, std::string_view mixtures,
                           const comm::RankContext& context) {
  if (!context.dims.ep_enabled()) return;
  const auto found = modules_matching(model, mixtures);
  TITAN_CHECK(!found.empty(), "no module fits '", mixtures, "', mixtures of experts");
  for (const auto& [name, mixture] : found) {
    nn::Module& experts = mixture->submodule("experts");
    cut_experts(experts, context);
    experts.wrap_forward(
        [&group = context.group(MeshDim::kEp), is_forecast = context.pretended.has_value()](
            const nn::Module::Forward& forward, const nn::Inputs& inputs) {
          return on_their_ranks(forward, inputs, group, is_forecast);
        });
    if (!context.dims.tp_enabled() || context.dims.etp_enabled()) continue;
    mixture->submodule("reorderer")
        .wrap_forward([&group = context.group(MeshDim::kTp)](const nn::Module::Forward& forward,
                                                             const nn::Inputs& inputs) {
          return of_own_tokens(forward, inputs, group);
        });
  }
  tools::log_info("Applied Expert Parallelism to the model");
}

TensorPlan mixture_plan(const std::string& mixtures, const mesh::ParallelDims& dims) {
  constexpr Placement tokens = Placement::cut(1);
  const TensorStyle experts = dims.ep_enabled() ? TensorStyle(LeftAlone{})
                                                : CutParameters{{{"w1", 1}, {"w2", 2}, {"w3", 1}}};
  return {
      {mixtures, PrepareInputOutput{{Move{tokens, Placement::shared()}},
                                    {Move{Placement::partial(), tokens}}}},
      // Its scores multiply a part of the output on every rank: so is its gradient.
      {mixtures + ".router.gate", NoParallel{}},
      {mixtures + ".experts", experts},
      {mixtures + ".shared_experts.w1", Colwise{}},
      {mixtures + ".shared_experts.w3", Colwise{}},
      {mixtures + ".shared_experts.w2", Rowwise{.output = Placement::partial()}},
  };
}

OperatorSavePolicy expert_save_policy(const mesh::ParallelDims& dims) {
  OperatorSavePolicy policy = default_save_policy();
  policy.save_list.insert("titan::all_to_all");
  if (dims.ep_enabled()) policy.always_kept.insert("titan::exchange_counts");
  return policy;
}

}  // namespace titan::parallel
