#include "titan/comm/autograd_collectives.h"

#include <ATen/ops/alias.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <numeric>
#include <utility>

#include "comm/operators.h"
#include "titan/base/errors.h"

namespace titan::comm {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// The kernels. What is sent and received lies rank by rank, each part contiguous.

Tensor gather_parts(const Tensor& part, std::int64_t dim, const Group& group) {
  const Tensor input = part.contiguous();
  std::vector<std::int64_t> sizes = input.sizes().vec();
  sizes.insert(sizes.begin(), group->group.size());
  const Tensor by_rank = at::empty(sizes, input.options());
  group->group.all_gather(by_rank, input).wait();
  return by_rank.movedim(0, dim).flatten(dim, dim + 1).contiguous();
}

Tensor sum_of_parts(const Tensor& whole, std::int64_t dim, const Group& group) {
  const std::int64_t ranks = group->group.size();
  TITAN_CHECK(whole.size(dim) % ranks == 0, "a dimension of ", whole.size(dim),
              " cannot be cut for ", ranks, " ranks");
  const Tensor by_rank =
      whole.unflatten(dim, {ranks, whole.size(dim) / ranks}).movedim(dim, 0).contiguous();
  const Tensor output = at::empty(by_rank.sizes().slice(1), by_rank.options());
  group->group.reduce_scatter(output, by_rank).wait();
  return output;
}

Tensor sum_of_all(const Tensor& part, const Group& group) {
  const Tensor total = part.clone(at::MemoryFormat::Contiguous);
  group->group.all_reduce(total).wait();
  return total;
}

/// Starts an exchange, which stays in `group`; returns the rows that come.
Tensor begin_exchange(const Tensor& rows, at::IntArrayRef output_splits,
                      at::IntArrayRef input_splits, const Group& group) {
  std::vector<std::int64_t> sizes = rows.sizes().vec();
  sizes[0] = std::accumulate(output_splits.begin(), output_splits.end(), std::int64_t{0});
  const Tensor output = at::empty(sizes, rows.options());
  group->started =
      group->group.all_to_all(output, rows.contiguous(), output_splits.vec(), input_splits.vec());
  return output;
}

/// Nothing is waited for where a result that was kept stands for the exchange.
Tensor end_exchange(const Tensor& rows, at::IntArrayRef, at::IntArrayRef, const Group& group) {
  Work work = std::move(group->started);
  if (work.pending() && group->group.meanwhile()) group->group.meanwhile()();
  work.wait();
  return at::alias(rows);
}

Tensor exchange_rows(const Tensor& rows, at::IntArrayRef output_splits,
                     at::IntArrayRef input_splits, const Group& group) {
  return end_exchange(begin_exchange(rows, output_splits, input_splits, group), output_splits,
                      input_splits, group);
}

Tensor counts_of_both_sides(const Tensor& counts, const Group& group) {
  const Tensor both = at::empty({2, counts.size(0)}, counts.options());
  both.select(0, 0).copy_(counts);
  const std::int64_t ranks = group->group.size();
  TITAN_CHECK(counts.size(0) % ranks == 0, counts.size(0), " counts for ", ranks, " ranks");
  const std::vector<std::int64_t> splits(static_cast<std::size_t>(ranks), counts.size(0) / ranks);
  group->group.all_to_all(both.select(0, 1), both.select(0, 0), splits, splits).wait();
  return both;
}

// The operators.

using AlongDimension = Tensor(const Tensor&, std::int64_t, const Group&);

const auto& all_gather_operator() {
  static const auto op = find_operator<AlongDimension>("titan::all_gather");
  return op;
}

const auto& reduce_scatter_operator() {
  static const auto op = find_operator<AlongDimension>("titan::reduce_scatter");
  return op;
}

const auto& all_reduce_operator() {
  static const auto op = find_operator<Tensor(const Tensor&, const Group&)>("titan::all_reduce");
  return op;
}

using OfRows = Tensor(const Tensor&, at::IntArrayRef, at::IntArrayRef, const Group&);

const auto& all_to_all_operator() {
  static const auto op = find_operator<OfRows>("titan::all_to_all");
  return op;
}

const auto& begin_all_to_all_operator() {
  static const auto op = find_operator<OfRows>("titan::begin_all_to_all");
  return op;
}

const auto& end_all_to_all_operator() {
  static const auto op = find_operator<OfRows>("titan::end_all_to_all");
  return op;
}

const auto& exchange_counts_operator() {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Group&)>("titan::exchange_counts");
  return op;
}

// Their derivatives, which are such operators again. Forward goes on below autograd with this call only:
// what its kernel calls is to pass autograd, where composite operators become what they are made of.

c10::DispatchKeySet below_autograd(c10::DispatchKeySet keys) {
  return keys & c10::after_ADInplaceOrView_keyset;
}

Group group_of(AutogradContext* context) {
  return context->saved_data["group"].toCustomClass<GroupHandle>();
}

/// All-gather and reduce-scatter: each is the other's derivative.
template <auto operator_of, auto derivative_of>
struct GatherOrScatter : public Function<GatherOrScatter<operator_of, derivative_of>> {
  static Tensor forward(AutogradContext* context, c10::DispatchKeySet keys, const Tensor& tensor,
                        std::int64_t dim, const Group& group) {
    context->saved_data["group"] = group;
    context->saved_data["dim"] = dim;
    return operator_of().redispatch(below_autograd(keys), tensor, dim, group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const std::int64_t dim = context->saved_data["dim"].toInt();
    return {Tensor(), derivative_of().call(gradients[0], dim, group_of(context)), Tensor(),
            Tensor()};
  }
};
using AllGather = GatherOrScatter<all_gather_operator, reduce_scatter_operator>;
using ReduceScatter = GatherOrScatter<reduce_scatter_operator, all_gather_operator>;

struct AllReduce : public Function<AllReduce> {
  static Tensor forward(AutogradContext*, c10::DispatchKeySet keys, const Tensor& part,
                        const Group& group) {
    return all_reduce_operator().redispatch(below_autograd(keys), part, group);
  }
  static variable_list backward(AutogradContext*, const variable_list& gradients) {
    return {Tensor(), gradients[0], Tensor()};
  }
};

/// What the derivative of an exchange knows of it.
struct Exchange {
  std::vector<std::int64_t> output_splits;
  std::vector<std::int64_t> input_splits;
  Group group;

  void save(AutogradContext* context) const {
    context->saved_data["group"] = group;
    context->saved_data["output_splits"] = output_splits;
    context->saved_data["input_splits"] = input_splits;
  }
  static Exchange saved(AutogradContext* context) {
    return {context->saved_data["output_splits"].toIntVector(),
            context->saved_data["input_splits"].toIntVector(), group_of(context)};
  }
  /// The way back, or its beginning or end.
  Tensor back(const c10::TypedOperatorHandle<OfRows>& op, const Tensor& gradient) const {
    return op.call(gradient, input_splits, output_splits, group);
  }
};

struct AllToAll : public Function<AllToAll> {
  static Tensor forward(AutogradContext* context, c10::DispatchKeySet keys, const Tensor& rows,
                        at::IntArrayRef output_splits, at::IntArrayRef input_splits,
                        const Group& group) {
    Exchange{output_splits.vec(), input_splits.vec(), group}.save(context);
    return all_to_all_operator().redispatch(below_autograd(keys), rows, output_splits, input_splits,
                                            group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {Tensor(), Exchange::saved(context).back(all_to_all_operator(), gradients[0]), Tensor(),
            Tensor(), Tensor()};
  }
};

// Between the derivative of the end, which begins the way back, and that of the beginning, which ends it, autograd carries a
// gradient of the size of the rows that came. That of the rows that were sent is under way, in the handle.

struct BeginAllToAll : public Function<BeginAllToAll> {
  static Tensor forward(AutogradContext* context, c10::DispatchKeySet keys, const Tensor& rows,
                        at::IntArrayRef output_splits, at::IntArrayRef input_splits,
                        const Group& group) {
    Exchange{output_splits.vec(), input_splits.vec(), group}.save(context);
    return begin_all_to_all_operator().redispatch(below_autograd(keys), rows, output_splits,
                                                  input_splits, group);
  }
  static variable_list backward(AutogradContext* context, const variable_list&) {
    const Exchange exchange = Exchange::saved(context);
    const Tensor arriving = std::exchange(exchange.group->arriving, Tensor());
    TITAN_CHECK(arriving.defined(), "nothing is on its way back to where rows were sent");
    return {Tensor(), exchange.back(end_all_to_all_operator(), arriving), Tensor(), Tensor(),
            Tensor()};
  }
};

struct EndAllToAll : public Function<EndAllToAll> {
  static Tensor forward(AutogradContext* context, c10::DispatchKeySet keys, const Tensor& rows,
                        at::IntArrayRef output_splits, at::IntArrayRef input_splits,
                        const Group& group) {
    Exchange{output_splits.vec(), input_splits.vec(), group}.save(context);
    return end_all_to_all_operator().redispatch(below_autograd(keys), rows, output_splits,
                                                input_splits, group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Exchange exchange = Exchange::saved(context);
    exchange.group->arriving = exchange.back(begin_all_to_all_operator(), gradients[0]);
    return {Tensor(), gradients[0], Tensor(), Tensor(), Tensor()};
  }
};

/// No operator of its own: nothing happens in forward.
struct SumGradients : public Function<SumGradients> {
  static Tensor forward(AutogradContext* context, const Tensor& tensor, const Group& group) {
    context->saved_data["group"] = group;
    return tensor.view_as(tensor);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {all_reduce_operator().call(gradients[0], group_of(context)), Tensor()};
  }
};

template <class Derivative, class... Arguments>
Tensor with_derivative(c10::DispatchKeySet keys, Arguments... arguments) {
  return Derivative::apply(keys, arguments...);
}

/// `kernel` as an operator that autograd differentiates as `Derivative` says.
template <class Derivative, class... Arguments>
void define(torch::Library& library, const char* name, const std::string& arguments,
            Tensor (*kernel)(Arguments...)) {
  library.def(with_group(concat(name, "(", arguments), "Tensor").c_str(),
              torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, kernel));
  library.impl(
      name, torch::dispatch(c10::DispatchKey::Autograd, with_derivative<Derivative, Arguments...>));
}

}  // namespace

void define_differentiable_operators(torch::Library& library) {
  define<AllGather>(library, "all_gather", "Tensor part, int dim", gather_parts);
  define<ReduceScatter>(library, "reduce_scatter", "Tensor whole, int dim", sum_of_parts);
  define<AllReduce>(library, "all_reduce", "Tensor part", sum_of_all);
  const char* const of_rows = "Tensor rows, int[] output_splits, int[] input_splits";
  define<AllToAll>(library, "all_to_all", of_rows, exchange_rows);
  define<BeginAllToAll>(library, "begin_all_to_all", of_rows, begin_exchange);
  define<EndAllToAll>(library, "end_all_to_all", of_rows, end_exchange);
  library.def(with_group("exchange_counts(Tensor counts", "Tensor").c_str(),
              torch::dispatch(c10::DispatchKey::CompositeExplicitAutograd, counts_of_both_sides));
}

Tensor all_gather(const Tensor& part, std::int64_t dim, ProcessGroup& group) {
  return all_gather_operator().call(part, dim, handle_of(group));
}

Tensor reduce_scatter(const Tensor& whole, std::int64_t dim, ProcessGroup& group) {
  return reduce_scatter_operator().call(whole, dim, handle_of(group));
}

Tensor all_reduce(const Tensor& part, ProcessGroup& group) {
  return all_reduce_operator().call(part, handle_of(group));
}

Tensor sum_gradients(const Tensor& tensor, ProcessGroup& group) {
  return SumGradients::apply(tensor, handle_of(group));
}

Tensor all_to_all(const Tensor& rows, const std::vector<std::int64_t>& output_splits,
                  const std::vector<std::int64_t>& input_splits, ProcessGroup& group) {
  return all_to_all_operator().call(rows, output_splits, input_splits, handle_of(group));
}

RowsUnderWay begin_all_to_all(const Tensor& rows, const std::vector<std::int64_t>& output_splits,
                              const std::vector<std::int64_t>& input_splits, ProcessGroup& group) {
  const Group exchange = handle_of(group);
  return {begin_all_to_all_operator().call(rows, output_splits, input_splits, exchange),
          output_splits, input_splits, exchange};
}

Tensor end_all_to_all(const RowsUnderWay& under_way) {
  return end_all_to_all_operator().call(
      under_way.rows, under_way.output_splits, under_way.input_splits,
      c10::static_intrusive_pointer_cast<GroupHandle>(under_way.exchange));
}

Tensor exchange_counts(const Tensor& counts, ProcessGroup& group) {
  return exchange_counts_operator().call(counts, handle_of(group));
}

}  // namespace titan::comm
