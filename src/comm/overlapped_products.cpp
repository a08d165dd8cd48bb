#include "titan/comm/overlapped_products.h"

#include <ATen/WrapDimUtils.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/mm.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <functional>

#include "comm/operators.h"
#include "titan/base/errors.h"
#include "titan/kernels/layers.h"

namespace titan::comm {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using Tensors = std::vector<Tensor>;

/// The rank that is `steps` places further in the ring.
std::int64_t around(const ProcessGroup& group, std::int64_t steps) {
  return (group.rank() + steps + group.size()) % group.size();
}

Tensor part_of(const Tensor& whole, std::int64_t dim, std::int64_t rank,
               const ProcessGroup& group) {
  const std::int64_t length = whole.size(dim) / group.size();
  return whole.narrow(dim, rank * length, length);
}

std::vector<std::int64_t> with_ranks(at::IntArrayRef sizes, const ProcessGroup& group) {
  std::vector<std::int64_t> result = sizes.vec();
  result.insert(result.begin(), group.size());
  return result;
}

/// Starts to gather all ranks' parts, gives each to `use` as it arrives, this rank's first, and returns them
/// one behind the other along `dim`.
Tensor use_all_parts(const Tensor& part, std::int64_t dim, ProcessGroup& group,
                     const std::function<void(std::int64_t rank, const Tensor& part)>& use) {
  using Direction = Message::Direction;
  const Tensor mine = part.contiguous();
  const Tensor by_rank = at::empty(with_ranks(mine.sizes(), group), mine.options());
  std::vector<Work> arriving;
  for (std::int64_t i = 1; i < group.size(); ++i) {
    const std::int64_t source = around(group, -i);
    arriving.push_back(group.exchange({{mine, around(group, i), Direction::kSend},
                                       {by_rank[source], source, Direction::kReceive}}));
  }
  by_rank[group.rank()].copy_(mine);
  use(group.rank(), mine);
  for (std::int64_t i = 1; i < group.size(); ++i) {
    arriving[static_cast<std::size_t>(i - 1)].wait();
    use(around(group, -i), by_rank[around(group, -i)]);
  }
  return by_rank.movedim(0, dim).flatten(dim, dim + 1).contiguous();
}

/// Terms of a sum over the ranks, each sent to the rank that wants it as soon as it is there.
class ScatteredSum {
 public:
  /// `term_for(rank)`: this rank's term of what that rank wants.
  ScatteredSum(ProcessGroup& group, const std::function<Tensor(std::int64_t rank)>& term_for)
      : group_(group) {
    using Direction = Message::Direction;
    for (std::int64_t i = 1; i < group.size(); ++i) {
      const Tensor term = term_for(around(group, i)).contiguous();
      if (!terms_.defined()) terms_ = at::empty(with_ranks(term.sizes(), group), term.options());
      const std::int64_t source = around(group, -i);
      under_way_.push_back(group.exchange({{term, around(group, i), Direction::kSend},
                                           {terms_[source], source, Direction::kReceive}}));
    }
    own_ = term_for(group.rank());
  }

  /// The sum of what all ranks have for this one, in rank order.
  Tensor wait() {
    for (Work& work : under_way_) work.wait();
    Tensor sum;
    for (std::int64_t rank = 0; rank < group_.size(); ++rank) {
      const Tensor term = rank == group_.rank() ? own_ : terms_[rank];
      sum = sum.defined() ? sum.add_(term) : term.clone();
    }
    return sum;
  }

 private:
  ProcessGroup& group_;
  Tensor terms_;  // by rank
  Tensor own_;
  std::vector<Work> under_way_;
};

/// x Wᵀ
Tensor multiply(const Tensor& x, const Tensor& weight, bool fast) {
  return fast ? kernels::linear(x, weight) : at::linear(x, weight);
}

/// yᵀ x over all rows: the gradient of a weight.
Tensor weight_gradient(const Tensor& gradient, const Tensor& x, bool fast) {
  const Tensor columns = gradient.flatten(0, -2).t();
  const Tensor rows = x.flatten(0, -2);
  return fast ? kernels::linear(columns, rows.t()) : at::mm(columns, rows);
}

/// x and its products with the weights, from the parts of all ranks.
GatheredProducts gather_and_multiply(const Tensor& part, at::TensorList weights, std::int64_t dim,
                                     ProcessGroup& group, bool fast) {
  GatheredProducts result;
  for (const Tensor& weight : weights) {
    std::vector<std::int64_t> sizes = part.sizes().vec();
    sizes[static_cast<std::size_t>(dim)] *= group.size();
    sizes.back() = weight.size(0);
    result.products.push_back(at::empty(sizes, part.options()));
  }
  result.whole = use_all_parts(part, dim, group, [&](std::int64_t rank, const Tensor& of_rank) {
    for (std::size_t i = 0; i < weights.size(); ++i) {
      part_of(result.products[i], dim, rank, group).copy_(multiply(of_rank, weights[i], fast));
    }
  });
  return result;
}

struct AllGatherLinear : public Function<AllGatherLinear> {
  /// Returns the whole, then the products.
  static variable_list forward(AutogradContext* context, const Tensor& part, at::TensorList weights,
                               std::int64_t dim, bool fast, const Group& group) {
    GatheredProducts all = gather_and_multiply(part, weights, dim, group->group, fast);
    context->saved_data["group"] = group;
    context->saved_data["dim"] = dim;
    context->saved_data["fast"] = fast;
    variable_list saved = {all.whole};
    saved.insert(saved.end(), weights.begin(), weights.end());
    context->save_for_backward(std::move(saved));
    all.products.insert(all.products.begin(), all.whole);
    return std::move(all.products);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Group handle = context->saved_data["group"].toCustomClass<GroupHandle>();
    const std::int64_t dim = context->saved_data["dim"].toInt();
    const bool fast = context->saved_data["fast"].toBool();
    ProcessGroup& group = handle->group;
    const variable_list saved = context->get_saved_variables();
    // In the order in which autograd adds: what was used last comes first.
    ScatteredSum sum(group, [&](std::int64_t rank) {
      Tensor term;
      const auto add = [&](const Tensor& more) { term = term.defined() ? term.add_(more) : more; };
      for (std::size_t i = saved.size() - 1; i > 0; --i) {
        if (!gradients[i].defined()) continue;
        add(multiply(part_of(gradients[i], dim, rank, group), saved[i].t(), fast));
      }
      if (gradients[0].defined()) add(part_of(gradients[0], dim, rank, group).clone());
      return term;
    });
    variable_list result(saved.size() + 3);
    for (std::size_t i = 1; i < saved.size(); ++i) {
      if (gradients[i].defined()) result[i] = weight_gradient(gradients[i], saved[0], fast);
    }
    result[0] = sum.wait();
    return result;
  }
};

// linear_reduce_scatter, as an operator: selective checkpointing can keep its result.

Tensor multiply_and_scatter(const Tensor& x, const Tensor& weight, std::int64_t dim, bool fast,
                            const Group& group) {
  return ScatteredSum(group->group,
                      [&](std::int64_t rank) {
                        return multiply(part_of(x, dim, rank, group->group), weight, fast);
                      })
      .wait();
}

const auto& linear_reduce_scatter_operator() {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, std::int64_t, bool, const Group&)>(
          "titan::linear_reduce_scatter");
  return op;
}

struct LinearReduceScatter : public Function<LinearReduceScatter> {
  static Tensor forward(AutogradContext* context, c10::DispatchKeySet keys, const Tensor& x,
                        const Tensor& weight, std::int64_t dim, bool fast, const Group& group) {
    context->saved_data["group"] = group;
    context->saved_data["dim"] = dim;
    context->saved_data["fast"] = fast;
    context->save_for_backward({x, weight});
    return linear_reduce_scatter_operator().redispatch(keys & c10::after_ADInplaceOrView_keyset, x,
                                                       weight, dim, fast, group);
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Group handle = context->saved_data["group"].toCustomClass<GroupHandle>();
    const variable_list saved = context->get_saved_variables();
    const bool fast = context->saved_data["fast"].toBool();
    const GatheredProducts all = gather_and_multiply(
        gradients[0], {saved[1].t()}, context->saved_data["dim"].toInt(), handle->group, fast);
    return {{}, all.products[0], weight_gradient(all.whole, saved[0], fast), {}, {}, {}};
  }
};

Tensor differentiated(c10::DispatchKeySet keys, const Tensor& x, const Tensor& weight,
                      std::int64_t dim, bool fast, const Group& group) {
  return LinearReduceScatter::apply(keys, x, weight, dim, fast, group);
}

}  // namespace

void define_overlapped_operators(torch::Library& library) {
  library.def(
      with_group("linear_reduce_scatter(Tensor x, Tensor weight, int dim, bool fast", "Tensor")
          .c_str(),
      torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, multiply_and_scatter));
  library.impl("linear_reduce_scatter",
               torch::dispatch(c10::DispatchKey::Autograd, differentiated));
}

GatheredProducts all_gather_linear(const Tensor& part, const std::vector<Tensor>& weights,
                                   std::int64_t dim, ProcessGroup& group, bool fast) {
  const std::int64_t cut = at::maybe_wrap_dim(dim, part.dim());
  TITAN_CHECK(cut + 1 < part.dim() && !weights.empty(), "features are multiplied, not gathered");
  variable_list all =
      AllGatherLinear::apply(part, at::TensorList(weights), cut, fast, handle_of(group));
  return {all.front(), Tensors(all.begin() + 1, all.end())};
}

Tensor linear_reduce_scatter(const Tensor& x, const Tensor& weight, std::int64_t dim,
                             ProcessGroup& group, bool fast) {
  const std::int64_t cut = at::maybe_wrap_dim(dim, x.dim());
  TITAN_CHECK(cut + 1 < x.dim() && x.size(cut) % group.size() == 0, "a dimension of ", x.size(cut),
              " cannot be cut for ", group.size(), " ranks");
  return linear_reduce_scatter_operator().call(x, weight, cut, fast, handle_of(group));
}

}  // namespace titan::comm
