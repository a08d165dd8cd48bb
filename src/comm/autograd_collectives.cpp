#include "titan/comm/autograd_collectives.h"

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

// The operators.

const auto& all_gather_operator() {
  static const auto op =
      find_operator<Tensor(const Tensor&, std::int64_t, const Group&)>("titan::all_gather");
  return op;
}

const auto& reduce_scatter_operator() {
  static const auto op =
      find_operator<Tensor(const Tensor&, std::int64_t, const Group&)>("titan::reduce_scatter");
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

// Their derivatives, which are such operators again. Forward goes on below autograd with this call only:
// what its kernel calls is to pass autograd, where composite operators become what they are made of.

c10::DispatchKeySet below_autograd(c10::DispatchKeySet keys) {
  return keys & c10::after_ADInplaceOrView_keyset;
}

Group group_of(AutogradContext* context) {
  return context->saved_data["group"].toCustomClass<GroupHandle>();
}

struct AllGather : public Function<AllGather> {
  static Tensor forward(AutogradContext* context, c10::DispatchKeySet keys, const Tensor& part,
                        std::int64_t dim, const Group& group) {
    context->saved_data["group"] = group;
    context->saved_data["dim"] = dim;
    return all_gather_operator().redispatch(below_autograd(keys), part, dim, group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const std::int64_t dim = context->saved_data["dim"].toInt();
    return {Tensor(), reduce_scatter_operator().call(gradients[0], dim, group_of(context)),
            Tensor(), Tensor()};
  }
};

struct ReduceScatter : public Function<ReduceScatter> {
  static Tensor forward(AutogradContext* context, c10::DispatchKeySet keys, const Tensor& whole,
                        std::int64_t dim, const Group& group) {
    context->saved_data["group"] = group;
    context->saved_data["dim"] = dim;
    return reduce_scatter_operator().redispatch(below_autograd(keys), whole, dim, group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const std::int64_t dim = context->saved_data["dim"].toInt();
    return {Tensor(), all_gather_operator().call(gradients[0], dim, group_of(context)), Tensor(),
            Tensor()};
  }
};

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

}  // namespace

Tensor AutogradKernels::all_gather(c10::DispatchKeySet keys, const Tensor& part, std::int64_t dim,
                                   const Group& group) {
  return AllGather::apply(keys, part, dim, group);
}

Tensor AutogradKernels::reduce_scatter(c10::DispatchKeySet keys, const Tensor& whole,
                                       std::int64_t dim, const Group& group) {
  return ReduceScatter::apply(keys, whole, dim, group);
}

Tensor AutogradKernels::all_reduce(c10::DispatchKeySet keys, const Tensor& part,
                                   const Group& group) {
  return AllReduce::apply(keys, part, group);
}

Tensor AutogradKernels::all_to_all(c10::DispatchKeySet keys, const Tensor& rows,
                                   at::IntArrayRef output_splits, at::IntArrayRef input_splits,
                                   const Group& group) {
  return AllToAll::apply(keys, rows, output_splits, input_splits, group);
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

}  // namespace titan::comm
