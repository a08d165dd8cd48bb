#include "titan/parallel/placement.h"

#include <ATen/WrapDimUtils.h>
#include <ATen/ops/constant_pad_nd.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/comm/autograd_collectives.h"
#include "titan/nn/chunk.h"

namespace titan::parallel {

using Kind = Placement::Kind;

namespace {

/// With zeros behind a dimension up to `length`.
at::Tensor padded(const at::Tensor& tensor, std::int64_t dim, std::int64_t length) {
  if (tensor.size(dim) == length) return tensor;
  std::vector<std::int64_t> pad(2 * static_cast<std::size_t>(tensor.dim() - dim), 0);
  pad.back() = length - tensor.size(dim);
  return at::constant_pad_nd(tensor, pad);
}

/// All parts of a dimension, which need not be of equal length. Whole ones come first, so that what is
/// missing is at the end.
at::Tensor gather(const at::Tensor& part, std::int64_t dim, comm::ProcessGroup& group,
                  std::optional<std::int64_t> length) {
  if (!length) return comm::all_gather(part, dim, group);
  const std::int64_t chunk = nn::chunk_length(*length, group.size());
  return comm::all_gather(padded(part, dim, chunk), dim, group).narrow(dim, 0, *length);
}

at::Tensor part_of(const at::Tensor& whole, std::int64_t dim, const comm::ProcessGroup& group) {
  const nn::Chunk chunk = nn::chunk_of(whole.size(dim), group.size(), group.rank());
  return whole.narrow(dim, chunk.offset, chunk.length);
}

at::Tensor scatter_sum(const at::Tensor& terms, std::int64_t dim, comm::ProcessGroup& group) {
  const std::int64_t length = terms.size(dim);
  const std::int64_t chunk = nn::chunk_length(length, group.size());
  const at::Tensor sum = comm::reduce_scatter(padded(terms, dim, chunk * group.size()), dim, group);
  return sum.narrow(dim, 0, nn::chunk_of(length, group.size(), group.rank()).length);
}

/// Each rank exchanges its part of one dimension for one of another.
at::Tensor exchange(const at::Tensor& part, std::int64_t from, std::int64_t to,
                    comm::ProcessGroup& group, std::optional<std::int64_t> length) {
  const std::int64_t ranks = group.size();
  TITAN_CHECK(length.value_or(0) % ranks == 0 && part.size(to) % ranks == 0,
              "only even parts of two dimensions are exchanged");
  const std::vector<std::int64_t> one_each(static_cast<std::size_t>(ranks), 1);
  const at::Tensor by_rank = part.unflatten(to, {ranks, -1}).movedim(to, 0);
  return comm::all_to_all(by_rank, one_each, one_each, group)
      .movedim(0, from)
      .flatten(from, from + 1);
}

/// A gathered tensor whose gradient is the same on all ranks: each takes its part of it.
struct GatherWhole : public torch::autograd::Function<GatherWhole> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& part,
                            std::int64_t dim, comm::ProcessGroup* group,
                            std::optional<std::int64_t> length) {
    context->saved_data["dim"] = dim;
    context->saved_data["ranks"] = group->size();
    context->saved_data["rank"] = group->rank();
    return gather(part, dim, *group, length);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const std::int64_t dim = context->saved_data["dim"].toInt();
    const nn::Chunk chunk =
        nn::chunk_of(gradients[0].size(dim), context->saved_data["ranks"].toInt(),
                     context->saved_data["rank"].toInt());
    return {gradients[0].narrow(dim, chunk.offset, chunk.length), {}, {}, {}};
  }
};

}  // namespace

std::string Placement::text() const {
  switch (kind_) {
    case Kind::kWhole:
      return "whole";
    case Kind::kShared:
      return "shared";
    case Kind::kCut:
      return concat("cut(", dim_, ")");
    case Kind::kPartial:
      return "partial";
  }
  return "";
}

MoveText text_of(const Move& move) {
  const auto [from, to] = move;
  if (from == to) return {};
  const std::string of_from = concat(" of dimension ", from.dim());
  const std::string of_to = concat(" of dimension ", to.dim());
  switch (from.kind()) {
    case Kind::kWhole:
      if (to.kind() == Kind::kShared || to.kind() == Kind::kCut) return {"", "all-reduce"};
      break;
    case Kind::kShared:
      if (to.kind() == Kind::kCut) return {};
      break;
    case Kind::kCut:
      if (to.kind() == Kind::kShared) return {"all-gather" + of_from, "reduce-scatter" + of_from};
      if (to.kind() == Kind::kWhole) return {"all-gather" + of_from, ""};
      if (to.kind() == Kind::kCut) return {"all-to-all", "all-to-all"};
      break;
    case Kind::kPartial:
      if (to.kind() == Kind::kCut) return {"reduce-scatter" + of_to, "all-gather" + of_to};
      if (to.kind() == Kind::kWhole) return {"all-reduce", ""};
      if (to.kind() == Kind::kShared) return {"all-reduce", "all-reduce"};
      break;
  }
  throw InternalError(concat("a tensor that is ", from.text(), " cannot become ", to.text()));
}

at::Tensor redistribute(const at::Tensor& tensor, const Move& move, comm::ProcessGroup& group,
                        std::optional<std::int64_t> length) {
  const auto [from, to] = move;
  if (from == to || group.size() == 1) return tensor;
  const auto dim_of = [&](Placement placement) {
    return at::maybe_wrap_dim(placement.dim(), tensor.dim());
  };
  switch (to.kind()) {
    case Kind::kWhole:
      if (from.kind() == Kind::kPartial) return comm::all_reduce(tensor, group);
      if (from.kind() == Kind::kCut) {
        return GatherWhole::apply(tensor, dim_of(from), &group, length);
      }
      break;
    case Kind::kShared:
      if (from.kind() == Kind::kWhole) return comm::sum_gradients(tensor, group);
      if (from.kind() == Kind::kCut) return gather(tensor, dim_of(from), group, length);
      if (from.kind() == Kind::kPartial) {
        return comm::sum_gradients(comm::all_reduce(tensor, group), group);
      }
      break;
    case Kind::kCut:
      if (from.kind() == Kind::kPartial) return scatter_sum(tensor, dim_of(to), group);
      if (from.kind() == Kind::kShared) return part_of(tensor, dim_of(to), group);
      if (from.kind() == Kind::kWhole) {
        return part_of(comm::sum_gradients(tensor, group), dim_of(to), group);
      }
      if (dim_of(from) == dim_of(to)) return tensor;
      return exchange(tensor, dim_of(from), dim_of(to), group, length);
    case Kind::kPartial:
      break;
  }
  text_of(move);  // says why not
  return tensor;
}

}  // namespace titan::parallel
