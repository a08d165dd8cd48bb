#include "titan/comm/autograd_collectives.h"

#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <numeric>

#include "titan/base/errors.h"

namespace titan::comm {

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Collectives work along the first dimension, where parts are contiguous.

at::Tensor gather(const at::Tensor& part, std::int64_t dim, ProcessGroup& group) {
  const at::Tensor input = part.movedim(dim, 0).contiguous();
  std::vector<std::int64_t> sizes = input.sizes().vec();
  sizes[0] *= group.size();
  const at::Tensor output = at::empty(sizes, input.options());
  group.all_gather(output, input).wait();
  return output.movedim(0, dim);
}

at::Tensor scatter(const at::Tensor& whole, std::int64_t dim, ProcessGroup& group) {
  const at::Tensor input = whole.movedim(dim, 0).contiguous();
  std::vector<std::int64_t> sizes = input.sizes().vec();
  TITAN_CHECK(sizes[0] % group.size() == 0, "a dimension of ", sizes[0], " cannot be cut for ",
              group.size(), " ranks");
  sizes[0] /= group.size();
  const at::Tensor output = at::empty(sizes, input.options());
  group.reduce_scatter(output, input).wait();
  return output.movedim(0, dim);
}

at::Tensor sum(const at::Tensor& part, ProcessGroup& group) {
  const at::Tensor total = part.clone(at::MemoryFormat::Contiguous);
  group.all_reduce(total).wait();
  return total;
}

at::Tensor exchange(const at::Tensor& rows, const std::vector<std::int64_t>& output_splits,
                    const std::vector<std::int64_t>& input_splits, ProcessGroup& group) {
  std::vector<std::int64_t> sizes = rows.sizes().vec();
  sizes[0] = std::accumulate(output_splits.begin(), output_splits.end(), std::int64_t{0});
  const at::Tensor output = at::empty(sizes, rows.options());
  group.all_to_all(output, rows.contiguous(), output_splits, input_splits).wait();
  return output;
}

ProcessGroup& group_of(AutogradContext* context) {
  return *reinterpret_cast<ProcessGroup*>(context->saved_data["group"].toInt());
}

void remember(AutogradContext* context, ProcessGroup& group) {
  context->saved_data["group"] = reinterpret_cast<std::int64_t>(&group);
}

struct AllGather : public Function<AllGather> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& part, std::int64_t dim,
                            ProcessGroup* group) {
    remember(context, *group);
    context->saved_data["dim"] = dim;
    return gather(part, dim, *group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const std::int64_t dim = context->saved_data["dim"].toInt();
    return {scatter(gradients[0], dim, group_of(context)), at::Tensor(), at::Tensor()};
  }
};

struct ReduceScatter : public Function<ReduceScatter> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& whole, std::int64_t dim,
                            ProcessGroup* group) {
    remember(context, *group);
    context->saved_data["dim"] = dim;
    return scatter(whole, dim, *group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const std::int64_t dim = context->saved_data["dim"].toInt();
    return {gather(gradients[0], dim, group_of(context)), at::Tensor(), at::Tensor()};
  }
};

struct AllReduce : public Function<AllReduce> {
  static at::Tensor forward(AutogradContext*, const at::Tensor& part, ProcessGroup* group) {
    return sum(part, *group);
  }
  static variable_list backward(AutogradContext*, const variable_list& gradients) {
    return {gradients[0], at::Tensor()};
  }
};

struct Replicate : public Function<Replicate> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& tensor,
                            ProcessGroup* group) {
    remember(context, *group);
    return tensor.view_as(tensor);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    return {sum(gradients[0], group_of(context)), at::Tensor()};
  }
};

struct AllToAll : public Function<AllToAll> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& rows,
                            const std::vector<std::int64_t>& output_splits,
                            const std::vector<std::int64_t>& input_splits, ProcessGroup* group) {
    remember(context, *group);
    context->saved_data["output_splits"] = output_splits;
    context->saved_data["input_splits"] = input_splits;
    return exchange(rows, output_splits, input_splits, *group);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const at::Tensor gradient =
        exchange(gradients[0], context->saved_data["input_splits"].toIntVector(),
                 context->saved_data["output_splits"].toIntVector(), group_of(context));
    return {gradient, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor all_gather(const at::Tensor& part, std::int64_t dim, ProcessGroup& group) {
  return AllGather::apply(part, dim, &group);
}

at::Tensor reduce_scatter(const at::Tensor& whole, std::int64_t dim, ProcessGroup& group) {
  return ReduceScatter::apply(whole, dim, &group);
}

at::Tensor all_reduce(const at::Tensor& part, ProcessGroup& group) {
  return AllReduce::apply(part, &group);
}

at::Tensor replicate(const at::Tensor& tensor, ProcessGroup& group) {
  return Replicate::apply(tensor, &group);
}

at::Tensor all_to_all(const at::Tensor& rows, const std::vector<std::int64_t>& output_splits,
                      const std::vector<std::int64_t>& input_splits, ProcessGroup& group) {
  return AllToAll::apply(rows, output_splits, input_splits, &group);
}

}  // namespace titan::comm
