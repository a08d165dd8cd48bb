#include "titan/comm/autograd_collectives.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>
#include <torch/library.h>

#include <numeric>

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

Tensor exchange_rows(const Tensor& rows, at::IntArrayRef output_splits,
                     at::IntArrayRef input_splits, const Group& group) {
  std::vector<std::int64_t> sizes = rows.sizes().vec();
  sizes[0] = std::accumulate(output_splits.begin(), output_splits.end(), std::int64_t{0});
  const Tensor output = at::empty(sizes, rows.options());
  group->group.all_to_all(output, rows.contiguous(), output_splits.vec(), input_splits.vec())
      .wait();
  return output;
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

const auto& all_to_all_operator() {
  static const auto op =
      find_operator<Tensor(const Tensor&, at::IntArrayRef, at::IntArrayRef, const Group&)>(
          "titan::all_to_all");
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

struct AllToAll : public Function<AllToAll> {
  static Tensor forward(AutogradContext* context, c10::DispatchKeySet keys, const Tensor& rows,
                        at::IntArrayRef output_splits, at::IntArrayRef input_splits,
                        const Group& group) {
    context->saved_data["group"] = group;
    context->saved_data["output_splits"] = output_splits.vec();
    context->saved_data["input_splits"] = input_splits.vec();
    return all_to_all_operator().redispatch(below_autograd(keys), rows, output_splits, input_splits,
                                            group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Tensor gradient = all_to_all_operator().call(
        gradients[0], context->saved_data["input_splits"].toIntVector(),
        context->saved_data["output_splits"].toIntVector(), group_of(context));
    return {Tensor(), gradient, Tensor(), Tensor(), Tensor()};
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
  define<AllToAll>(library, "all_to_all", "Tensor rows, int[] output_splits, int[] input_splits",
                   exchange_rows);
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

Tensor exchange_counts(const Tensor& counts, ProcessGroup& group) {
  return exchange_counts_operator().call(counts, handle_of(group));
}

}  // namespace titan::comm
