#include "titan/comm/autograd_collectives.h"

#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <numeric>

#include "comm/operators.h"
#include "titan/base/errors.h"

namespace titan::comm {

using at::Tensor;

// They work along the first dimension, where parts are contiguous.

Tensor Kernels::all_gather(const Tensor& part, std::int64_t dim, const Group& group) {
  const Tensor input = part.movedim(dim, 0).contiguous();
  std::vector<std::int64_t> sizes = input.sizes().vec();
  sizes[0] *= group->group.size();
  const Tensor output = at::empty(sizes, input.options());
  group->group.all_gather(output, input).wait();
  return output.movedim(0, dim);
}

Tensor Kernels::reduce_scatter(const Tensor& whole, std::int64_t dim, const Group& group) {
  const std::int64_t ranks = group->group.size();
  const Tensor input = whole.movedim(dim, 0).contiguous();
  std::vector<std::int64_t> sizes = input.sizes().vec();
  TITAN_CHECK(sizes[0] % ranks == 0, "a dimension of ", sizes[0], " cannot be cut for ", ranks,
              " ranks");
  sizes[0] /= ranks;
  const Tensor output = at::empty(sizes, input.options());
  group->group.reduce_scatter(output, input).wait();
  return output.movedim(0, dim);
}

Tensor Kernels::all_reduce(const Tensor& part, const Group& group) {
  const Tensor total = part.clone(at::MemoryFormat::Contiguous);
  group->group.all_reduce(total).wait();
  return total;
}

Tensor Kernels::all_to_all(const Tensor& rows, at::IntArrayRef output_splits,
                           at::IntArrayRef input_splits, const Group& group) {
  std::vector<std::int64_t> sizes = rows.sizes().vec();
  sizes[0] = std::accumulate(output_splits.begin(), output_splits.end(), std::int64_t{0});
  const Tensor output = at::empty(sizes, rows.options());
  group->group.all_to_all(output, rows.contiguous(), output_splits.vec(), input_splits.vec())
      .wait();
  return output;
}

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Through the dispatcher.

Tensor gather(const Tensor& part, std::int64_t dim, const Group& group) {
  static const auto op =
      find_operator<Tensor(const Tensor&, std::int64_t, const Group&)>("titan::all_gather");
  return op.call(part, dim, group);
}

Tensor scatter(const Tensor& whole, std::int64_t dim, const Group& group) {
  static const auto op =
      find_operator<Tensor(const Tensor&, std::int64_t, const Group&)>("titan::reduce_scatter");
  return op.call(whole, dim, group);
}

Tensor sum(const Tensor& part, const Group& group) {
  static const auto op = find_operator<Tensor(const Tensor&, const Group&)>("titan::all_reduce");
  return op.call(part, group);
}

Tensor exchange(const Tensor& rows, at::IntArrayRef output_splits, at::IntArrayRef input_splits,
                const Group& group) {
  static const auto op =
      find_operator<Tensor(const Tensor&, at::IntArrayRef, at::IntArrayRef, const Group&)>(
          "titan::all_to_all");
  return op.call(rows, output_splits, input_splits, group);
}

// Their derivatives, which are such operators again.

using BelowAutograd = at::AutoDispatchBelowADInplaceOrView;

Group group_of(AutogradContext* context) {
  return context->saved_data["group"].toCustomClass<GroupHandle>();
}

struct AllGather : public Function<AllGather> {
  static Tensor forward(AutogradContext* context, const Tensor& part, std::int64_t dim,
                        const Group& group) {
    context->saved_data["group"] = group;
    context->saved_data["dim"] = dim;
    const BelowAutograd below;
    return gather(part, dim, group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const std::int64_t dim = context->saved_data["dim"].toInt();
    return {scatter(gradients[0], dim, group_of(context)), Tensor(), Tensor()};
  }
};

struct ReduceScatter : public Function<ReduceScatter> {
  static Tensor forward(AutogradContext* context, const Tensor& whole, std::int64_t dim,
                        const Group& group) {
    context->saved_data["group"] = group;
    context->saved_data["dim"] = dim;
    const BelowAutograd below;
    return scatter(whole, dim, group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const std::int64_t dim = context->saved_data["dim"].toInt();
    return {gather(gradients[0], dim, group_of(context)), Tensor(), Tensor()};
  }
};

struct AllReduce : public Function<AllReduce> {
  static Tensor forward(AutogradContext*, const Tensor& part, const Group& group) {
    const BelowAutograd below;
    return sum(part, group);
  }
  static variable_list backward(AutogradContext*, const variable_list& gradients) {
    return {gradients[0], Tensor()};
  }
};

struct AllToAll : public Function<AllToAll> {
  static Tensor forward(AutogradContext* context, const Tensor& rows, at::IntArrayRef output_splits,
                        at::IntArrayRef input_splits, const Group& group) {
    context->saved_data["group"] = group;
    context->saved_data["output_splits"] = output_splits.vec();
    context->saved_data["input_splits"] = input_splits.vec();
    const BelowAutograd below;
    return exchange(rows, output_splits, input_splits, group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const Tensor gradient =
        exchange(gradients[0], context->saved_data["input_splits"].toIntVector(),
                 context->saved_data["output_splits"].toIntVector(), group_of(context));
    return {gradient, Tensor(), Tensor(), Tensor()};
  }
};

/// No operator of its own: nothing happens in forward.
struct SumGradients : public Function<SumGradients> {
  static Tensor forward(AutogradContext* context, const Tensor& tensor, const Group& group) {
    context->saved_data["group"] = group;
    return tensor.view_as(tensor);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {sum(gradients[0], group_of(context)), Tensor()};
  }
};

}  // namespace

Tensor AutogradKernels::all_gather(const Tensor& part, std::int64_t dim, const Group& group) {
  return AllGather::apply(part, dim, group);
}

Tensor AutogradKernels::reduce_scatter(const Tensor& whole, std::int64_t dim, const Group& group) {
  return ReduceScatter::apply(whole, dim, group);
}

Tensor AutogradKernels::all_reduce(const Tensor& part, const Group& group) {
  return AllReduce::apply(part, group);
}

Tensor AutogradKernels::all_to_all(const Tensor& rows, at::IntArrayRef output_splits,
                                   at::IntArrayRef input_splits, const Group& group) {
  return AllToAll::apply(rows, output_splits, input_splits, group);
}

Tensor all_gather(const Tensor& part, std::int64_t dim, ProcessGroup& group) {
  return gather(part, dim, handle_of(group));
}

Tensor reduce_scatter(const Tensor& whole, std::int64_t dim, ProcessGroup& group) {
  return scatter(whole, dim, handle_of(group));
}

Tensor all_reduce(const Tensor& part, ProcessGroup& group) { return sum(part, handle_of(group)); }

Tensor sum_gradients(const Tensor& tensor, ProcessGroup& group) {
  return SumGradients::apply(tensor, handle_of(group));
}

Tensor all_to_all(const Tensor& rows, const std::vector<std::int64_t>& output_splits,
                  const std::vector<std::int64_t>& input_splits, ProcessGroup& group) {
  return exchange(rows, output_splits, input_splits, handle_of(group));
}

}  // namespace titan::comm
