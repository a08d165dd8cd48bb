#include "kernels/attention_unit.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <vector>

#include "kernels/attention_bf16_tiles.h"
#include "kernels/attention_split_tiles.h"
#include "kernels/split_product.h"
#include "kernels/thread_room.h"
#include "titan/kernels/products.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using MaybeTensor = std::optional<Tensor>;

Tensor with_whole_rows(const Tensor& x) { return x.stride(3) == 1 ? x : x.contiguous(); }

/// The kernels for tensors in bf16, and in fp32.
struct InBf16 {
  using Number = std::uint16_t;
  static constexpr auto keys_bytes = packed_keys_bytes;
  static constexpr auto pack = pack_keys;
  static constexpr auto forward_bytes = forward_bf16_bytes;
  static constexpr auto forward = forward_bf16;
  static constexpr auto backward_bytes = backward_bf16_bytes;
  static constexpr auto backward = backward_bf16;
};
struct InSplitNumbers {
  using Number = float;
  static constexpr auto keys_bytes = split_keys_bytes;
  static constexpr auto pack = split_keys;
  static constexpr auto forward_bytes = forward_split_bytes;
  static constexpr auto forward = forward_split;
  static constexpr auto backward_bytes = backward_split_bytes;
  static constexpr auto backward = backward_split;
};

template <class Number>
Number* numbers(const Tensor& x) {
  return static_cast<Number*>(x.data_ptr());
}

/// The rows of a head of `[B, H, S, D]`, of any strides but the last.
template <class Number>
Rows<Number> rows_of(const Tensor& x, std::int64_t row, std::int64_t head) {
  return {static_cast<const Number*>(x.const_data_ptr()) + row * x.stride(0) + head * x.stride(1),
          x.stride(2)};
}

template <class Number>
ResultRows<Number> result_rows_of(const Tensor& x, std::int64_t row, std::int64_t head) {
  return {numbers<Number>(x) + row * x.stride(0) + head * x.stride(1), x.stride(2)};
}

/// The sizes of a call; the mask is a row's own.
class Shapes {
 public:
  Shapes(const Tensor& query, const Tensor& key, const Tensor& value, const MaybeTensor& allowed,
         bool is_causal, double scale) {
    whole_.queries = query.size(2);
    whole_.keys = key.size(2);
    whole_.dim = query.size(3);
    whole_.value_dim = value.size(3);
    whole_.scale = static_cast<float>(scale);
    whole_.visible.causal_offset = is_causal ? whole_.keys - whole_.queries : kNotCausal;
    if (allowed) {
      allowed_ = allowed->contiguous();
      whole_.visible.allowed_stride = whole_.keys;
    }
  }
  HeadShape at(std::int64_t row) const {
    HeadShape result = whole_;
    if (allowed_.defined()) {
      const std::int64_t mask = allowed_.size(0) == 1 ? 0 : row;
      result.visible.allowed = static_cast<const std::uint8_t*>(allowed_.const_data_ptr()) +
                               mask * whole_.queries * whole_.keys;
    }
    return result;
  }

 private:
  HeadShape whole_;
  Tensor allowed_;
};

template <class Kernels>
std::tuple<Tensor, Tensor> forward(const Tensor& given_query, const Tensor& given_key,
                                   const Tensor& given_value, const MaybeTensor& allowed,
                                   bool is_causal, double scale) {
  using Number = typename Kernels::Number;
  const Tensor query = with_whole_rows(given_query);
  const Tensor key = with_whole_rows(given_key);
  const Tensor value = with_whole_rows(given_value);
  const Shapes shapes(query, key, value, allowed, is_causal, scale);
  const std::int64_t batch = query.size(0);
  const std::int64_t heads = query.size(1);
  const std::int64_t groups = key.size(1);
  const std::int64_t queries = query.size(2);
  const std::int64_t value_dim = value.size(3);
  const Tensor output = at::empty({batch, queries, heads, value_dim}, query.options());
  const Tensor lse = at::empty({batch, heads, queries}, query.options().dtype(at::kFloat));
  const std::int64_t bytes = Kernels::keys_bytes(shapes.at(0));
  std::uint8_t* const packed = thread_room(Room::kRightFactor, batch * groups * bytes);
  at::parallel_for(0, batch * groups, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / groups;
      Kernels::pack(shapes.at(row), rows_of<Number>(key, row, task % groups),
                    rows_of<Number>(value, row, task % groups), packed + task * bytes);
    }
  });
  const std::int64_t tiles = (queries + kQueryTile - 1) / kQueryTile;
  at::parallel_for(0, batch * heads * tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    std::uint8_t* const room = thread_room(Room::kAttention, Kernels::forward_bytes(shapes.at(0)));
    const TileRegisters registers;
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / tiles / heads;
      const std::int64_t head = task / tiles % heads;
      Kernels::forward(
          shapes.at(row), rows_of<Number>(query, row, head),
          packed + (row * groups + head / (heads / groups)) * bytes, task % tiles * kQueryTile,
          numbers<Number>(output) + (row * queries * heads + head) * value_dim, heads * value_dim,
          lse.data_ptr<float>() + (row * heads + head) * queries, room);
    }
  });
  return {output, lse};
}

template <class Kernels>
std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& gradient, const MaybeTensor& lse_gradient,
                                            const Tensor& given_query, const Tensor& given_key,
                                            const Tensor& given_value, const Tensor& output,
                                            const Tensor& given_lse, const MaybeTensor& allowed,
                                            bool is_causal, double scale) {
  using Number = typename Kernels::Number;
  const Tensor query = with_whole_rows(given_query);
  const Tensor key = with_whole_rows(given_key);
  const Tensor value = with_whole_rows(given_value);
  const Tensor slopes = with_whole_rows(gradient.to(query.scalar_type()).transpose(1, 2));
  const Tensor outputs = with_whole_rows(output.transpose(1, 2));
  const Tensor lse = given_lse.contiguous();
  const Tensor lse_slopes = lse_gradient ? lse_gradient->contiguous() : Tensor();
  const Shapes shapes(query, key, value, allowed, is_causal, scale);
  const Tensor dq = room_for_gradient(query);
  const Tensor dk = room_for_gradient(key);
  const Tensor dv = room_for_gradient(value);
  const std::int64_t heads = query.size(1);
  const std::int64_t groups = key.size(1);
  const std::int64_t group = heads / groups;
  const std::int64_t queries = query.size(2);
  const auto head_of = [&](std::int64_t row, std::int64_t head) {
    const std::int64_t place = row * heads + head;
    QueryHead<Number> result;
    result.queries = rows_of<Number>(query, row, head);
    result.output = rows_of<Number>(outputs, row, head);
    result.gradient = rows_of<Number>(slopes, row, head);
    result.lse = lse.const_data_ptr<float>() + place * queries;
    if (lse_slopes.defined()) {
      result.lse_gradient = lse_slopes.const_data_ptr<float>() + place * queries;
    }
    result.dq = result_rows_of<Number>(dq, row, head);
    return result;
  };
  at::parallel_for(0, query.size(0) * groups, 1, [&](std::int64_t begin, std::int64_t end) {
    std::uint8_t* const room =
        thread_room(Room::kAttention, Kernels::backward_bytes(shapes.at(0), group));
    const TileRegisters registers;
    std::vector<QueryHead<Number>> some(static_cast<std::size_t>(group));
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / groups;
      for (std::int64_t i = 0; i < group; ++i) {
        some[static_cast<std::size_t>(i)] = head_of(row, task % groups * group + i);
      }
      Kernels::backward(shapes.at(row), rows_of<Number>(key, row, task % groups),
                        rows_of<Number>(value, row, task % groups), some.data(), group,
                        result_rows_of<Number>(dk, row, task % groups),
                        result_rows_of<Number>(dv, row, task % groups), room);
    }
  });
  return {dq, dk, dv};
}

}  // namespace

Tensor room_for_gradient(const Tensor& x) {
  return x.is_non_overlapping_and_dense() ? at::empty_like(x) : at::empty(x.sizes(), x.options());
}

bool takes_attention_unit(const Tensor& query, double scale) {
  const bool is_bf16 = query.scalar_type() == at::kBFloat16;
  return (query.scalar_type() == at::kFloat || (is_bf16 && scale > 0)) &&
         products() == Products::kSplit;
}

std::tuple<Tensor, Tensor> attention_unit(const Tensor& query, const Tensor& key,
                                          const Tensor& value, const MaybeTensor& allowed,
                                          bool is_causal, double scale) {
  const auto compute =
      query.scalar_type() == at::kBFloat16 ? forward<InBf16> : forward<InSplitNumbers>;
  return compute(query, key, value, allowed, is_causal, scale);
}

std::tuple<Tensor, Tensor, Tensor> attention_backward_unit(
    const Tensor& gradient, const MaybeTensor& lse_gradient, const Tensor& query, const Tensor& key,
    const Tensor& value, const Tensor& output, const Tensor& lse, const MaybeTensor& allowed,
    bool is_causal, double scale) {
  const auto compute =
      query.scalar_type() == at::kBFloat16 ? backward<InBf16> : backward<InSplitNumbers>;
  return compute(gradient, lse_gradient, query, key, value, output, lse, allowed, is_causal, scale);
}

}  // namespace titan::kernels
