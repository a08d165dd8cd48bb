#include "titan/parallel/expert_parallel.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/comm/autograd_collectives.h"
#include "titan/nn/moe/moe.h"
#include "titan/parallel/host_memory.h"
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

/// How rows that arrive - rank by rank, of each expert by expert - become expert by expert.
struct Routes {
  at::Tensor counts;  // rows of each expert here, int64, on the host
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

/// Rows to each rank, and from each rank.
std::pair<Numbers, Numbers> splits_of(const CountTable& table) {
  std::pair<Numbers, Numbers> splits;
  for (std::int64_t rank = 0; rank < table.ranks(); ++rank) {
    std::int64_t sent = 0;
    std::int64_t received = 0;
    for (std::int64_t expert = 0; expert < table.experts(); ++expert) {
      sent += table.sent(rank, expert);
      received += table.received(rank, expert);
    }
    splits.first.push_back(sent);
    splits.second.push_back(received);
  }
  return splits;
}

/// On the host; in a forecast without contents.
at::Tensor to_tensor(const Numbers& numbers, bool is_known) {
  const auto whole = at::TensorOptions().dtype(at::kLong);
  if (!is_known) return at::empty({static_cast<std::int64_t>(numbers.size())}, whole);
  return at::tensor(numbers, whole);
}

/// In one copy that the host does not wait for.
at::Tensor on_device(const at::Tensor& numbers, at::Device device) {
  if (device.is_cpu()) return numbers;
  const at::Tensor sent = empty_page_locked(numbers.sizes(), numbers.scalar_type());
  sent.copy_(numbers);
  return sent.to(device, /*non_blocking=*/true);
}

Routes routes_of(const CountTable& table, at::Device device) {
  Numbers first;  // place among the rows that arrive, of each rank's part for each expert
  std::int64_t arrived = 0;
  for (std::int64_t rank = 0; rank < table.ranks(); ++rank) {
    for (std::int64_t expert = 0; expert < table.experts(); ++expert) {
      first.push_back(arrived);
      arrived += table.received(rank, expert);
    }
  }
  Numbers counts;
  const auto rows = static_cast<std::size_t>(arrived);
  Numbers both(2 * rows);  // the order, and the way back from it
  std::size_t next = 0;
  for (std::int64_t expert = 0; expert < table.experts(); ++expert) {
    const std::size_t before = next;
    for (std::int64_t rank = 0; rank < table.ranks(); ++rank) {
      std::int64_t place = first[static_cast<std::size_t>(rank * table.experts() + expert)];
      for (std::int64_t n = table.received(rank, expert); n > 0; --n, ++place, ++next) {
        both[next] = place;
        both[rows + static_cast<std::size_t>(place)] = static_cast<std::int64_t>(next);
      }
    }
    counts.push_back(static_cast<std::int64_t>(next - before));
  }
  const at::Tensor there_and_back = on_device(to_tensor(both, table.is_known()), device);
  return {to_tensor(counts, table.is_known()), there_and_back.narrow(0, 0, arrived),
          there_and_back.narrow(0, arrived, arrived)};
}

/// The layers around a mixture's dispatcher and its experts, which share what is between them.
class ExpertRanks {
 public:
  ExpertRanks(comm::ProcessGroup& group, bool is_forecast)
      : group_(group), is_forecast_(is_forecast) {}

  /// Around the dispatcher: sends rows to the ranks of their experts.
  nn::Tensors send(const nn::Module::Forward& dispatch, const nn::Inputs& inputs) {
    const at::Tensor& rows = inputs.at(0);
    const at::Tensor& counts = inputs.at(1);
    // How much a rank sends and receives is an argument of the exchange, and is needed on the host: the one wait of a layer.
    const at::Tensor exchanged = comm::exchange_counts(counts, group_).to(at::kCPU);
    const CountTable table = is_forecast_ ? CountTable(rows.size(0), counts.size(0), group_.size())
                                          : CountTable(exchanged, group_.size());
    const auto [sent, received] = splits_of(table);
    under_way_ = comm::begin_all_to_all(rows, received, sent, group_);
    // While they travel.
    routes_ = routes_of(table, rows.device());
    nn::Inputs arriving(inputs);
    arriving.tensors = {under_way_->rows, routes_->counts};
    return dispatch(arriving);
  }

  /// Around the experts: waits for rows, has those of each expert together, and sends them back.
  nn::Tensors compute(const nn::Module::Forward& experts, const nn::Inputs& inputs) {
    TITAN_CHECK(under_way_.has_value() && inputs.at(0).is_alias_of(under_way_->rows),
                "experts are called with rows that were not dispatched, or were read on the way");
    comm::RowsUnderWay under_way = *std::exchange(under_way_, std::nullopt);
    const Routes routes = *std::exchange(routes_, std::nullopt);
    under_way.rows = inputs.at(0);
    const at::Tensor arrived = comm::end_all_to_all(under_way);
    nn::Inputs own(inputs);
    own.tensors = {Permutation::apply(arrived, routes.order, routes.back), routes.counts};
    const at::Tensor done = experts(own).at(0);
    return {comm::all_to_all(Permutation::apply(done, routes.back, routes.order),
                             under_way.input_splits, under_way.output_splits, group_)};
  }

 private:
  comm::ProcessGroup& group_;
  bool is_forecast_;
  std::optional<comm::RowsUnderWay> under_way_;
  std::optional<Routes> routes_;
};

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
    const auto ranks =
        std::make_shared<ExpertRanks>(context.group(MeshDim::kEp), context.pretended.has_value());
    mixture->submodule("dispatcher")
        .wrap_forward([ranks](const nn::Module::Forward& dispatch, const nn::Inputs& inputs) {
          return ranks->send(dispatch, inputs);
        });
    experts.wrap_forward([ranks](const nn::Module::Forward& forward, const nn::Inputs& inputs) {
      return ranks->compute(forward, inputs);
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
  policy.save_list.insert({"titan::all_to_all", "titan::begin_all_to_all"});
  if (dims.ep_enabled()) policy.always_kept.insert("titan::exchange_counts");
  return policy;
}

}  // namespace titan::parallel
