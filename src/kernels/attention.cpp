#include "titan/kernels/attention.h"

#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <tuple>
#include <vector>

#include "kernels/attention_unit.h"
#include "kernels/define_operator.h"
#include "kernels/instruction_set.h"
#include "kernels/operators.h"
#include "kernels/thread_room.h"
#include "titan/base/errors.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using MaybeTensor = std::optional<Tensor>;
using TwoTensors = std::tuple<Tensor, Tensor>;
using ThreeTensors = std::tuple<Tensor, Tensor, Tensor>;

/// Features are filled up with zeros to whole vectors of every instruction set.
constexpr std::int64_t kFeatures = 16;

std::int64_t filled_up(std::int64_t size, std::int64_t to) { return (size + to - 1) / to * to; }

/// `[B, H, S, D]` in fp32, rows one behind the other.
Tensor packed(const Tensor& x) {
  const std::int64_t missing = filled_up(x.size(3), kFeatures) - x.size(3);
  const Tensor floats = x.to(at::kFloat);
  return missing == 0 ? floats.contiguous()
                      : at::constant_pad_nd(floats, {0, missing}).contiguous();
}

/// `[B, H, S]` with whole tiles of queries.
Tensor in_tiles(const Tensor& x) {
  const std::int64_t missing = filled_up(x.size(2), kQueryTile) - x.size(2);
  return missing == 0 ? x.contiguous() : at::constant_pad_nd(x, {0, missing}).contiguous();
}

float* scratch(std::int64_t floats) {
  return reinterpret_cast<float*>(
      thread_room(Room::kAttention, floats * static_cast<std::int64_t>(sizeof(float))));
}

/// The tensors of a call as the kernels take them, and one head of them.
class Heads {
 public:
  Heads(const Tensor& query, const Tensor& key, const Tensor& value, const MaybeTensor& allowed,
        bool is_causal, double scale)
      : q(packed(query)), k(packed(key)), v(packed(value)), heads(q.size(1)), groups(k.size(1)) {
    whole_.queries = q.size(2);
    whole_.keys = k.size(2);
    whole_.dim = static_cast<int>(q.size(3));
    whole_.value_dim = static_cast<int>(v.size(3));
    whole_.scale = static_cast<float>(scale);
    whole_.visible.causal_offset = is_causal ? whole_.keys - whole_.queries : kNotCausal;
    if (allowed) {
      allowed_ = allowed->contiguous();
      whole_.visible.allowed_stride = whole_.keys;
    }
  }

  AttentionHead at(std::int64_t row, std::int64_t head) const {
    const std::int64_t key_head = row * groups + head / (heads / groups);
    AttentionHead result = whole_;
    result.q = q.const_data_ptr<float>() + (row * heads + head) * whole_.queries * whole_.dim;
    result.k = k.const_data_ptr<float>() + key_head * whole_.keys * whole_.dim;
    result.v = v.const_data_ptr<float>() + key_head * whole_.keys * whole_.value_dim;
    if (allowed_.defined()) {
      const std::int64_t mask = allowed_.size(0) == 1 ? 0 : row;
      result.visible.allowed = static_cast<const std::uint8_t*>(allowed_.const_data_ptr()) +
                               mask * whole_.queries * whole_.keys;
    }
    return result;
  }

  Tensor q;
  Tensor k;
  Tensor v;
  std::int64_t heads;
  std::int64_t groups;

 private:
  AttentionHead whole_;
  Tensor allowed_;
};

TwoTensors forward_shapes(const Tensor& query, const Tensor&, const Tensor& value,
                          const MaybeTensor&, bool, double) {
  return {
      at::empty({query.size(0), query.size(2), query.size(1), value.size(3)}, query.options()),
      at::empty({query.size(0), query.size(1), query.size(2)}, query.options().dtype(at::kFloat))};
}

TwoTensors forward(const Tensor& query, const Tensor& key, const Tensor& value,
                   const MaybeTensor& allowed, bool is_causal, double scale) {
  if (takes_attention_unit(query, scale)) {
    return attention_unit(query, key, value, allowed, is_causal, scale);
  }
  const Heads all(query, key, value, allowed, is_causal, scale);
  const std::int64_t queries = query.size(2);
  const std::int64_t value_dim = all.v.size(3);
  const auto floats = query.options().dtype(at::kFloat);
  const Tensor output = at::empty({query.size(0), queries, all.heads, value_dim}, floats);
  const Tensor lse = at::empty({query.size(0), all.heads, queries}, floats);
  auto* to = output.data_ptr<float>();
  auto* sums = lse.data_ptr<float>();
  const std::int64_t tiles = (queries + kQueryTile - 1) / kQueryTile;
  at::parallel_for(
      0, query.size(0) * all.heads * tiles, 1, [&](std::int64_t begin, std::int64_t end) {
        float* const room =
            scratch(forward_scratch(static_cast<int>(all.q.size(3)), static_cast<int>(value_dim)));
        for (std::int64_t task = begin; task < end; ++task) {
          const std::int64_t row = task / tiles / all.heads;
          const std::int64_t head = task / tiles % all.heads;
          instruction_set().attention.forward(all.at(row, head), task % tiles * kQueryTile,
                                              to + (row * queries * all.heads + head) * value_dim,
                                              all.heads * value_dim,
                                              sums + (row * all.heads + head) * queries, room);
        }
      });
  return {output.narrow(3, 0, value.size(3)).to(query.scalar_type()).contiguous(), lse};
}

ThreeTensors backward_shapes(const Tensor&, const MaybeTensor&, const Tensor& query,
                             const Tensor& key, const Tensor& value, const Tensor&, const Tensor&,
                             const MaybeTensor&, bool, double) {
  return {room_for_gradient(query), room_for_gradient(key), room_for_gradient(value)};
}

ThreeTensors backward(const Tensor& gradient, const MaybeTensor& lse_gradient, const Tensor& query,
                      const Tensor& key, const Tensor& value, const Tensor& output,
                      const Tensor& lse, const MaybeTensor& allowed, bool is_causal, double scale) {
  if (takes_attention_unit(query, scale)) {
    return attention_backward_unit(gradient, lse_gradient, query, key, value, output, lse, allowed,
                                   is_causal, scale);
  }
  const Heads all(query, key, value, allowed, is_causal, scale);
  Tensor delta = (gradient.to(at::kFloat) * output.to(at::kFloat)).sum(-1).transpose(1, 2);
  if (lse_gradient) delta = delta - *lse_gradient;
  const Tensor g = packed(gradient.transpose(1, 2));
  const Tensor lse_tiles = in_tiles(lse);
  const Tensor delta_tiles = in_tiles(delta);
  const Tensor dq = at::zeros(all.q.sizes(), all.q.options());
  const Tensor dk = at::zeros(all.k.sizes(), all.k.options());
  const Tensor dv = at::zeros(all.v.sizes(), all.v.options());
  const std::int64_t queries = query.size(2);
  const std::int64_t keys = key.size(2);
  const std::int64_t dim = all.q.size(3);
  const std::int64_t value_dim = all.v.size(3);
  const std::int64_t group = all.heads / all.groups;
  const auto head_gradient = [&](std::int64_t row, std::int64_t head) {
    const std::int64_t of_query = row * all.heads + head;
    const std::int64_t of_key = row * all.groups + head / group;
    AttentionHeadGradient result;
    result.gradient = g.const_data_ptr<float>() + of_query * queries * value_dim;
    result.lse = lse_tiles.const_data_ptr<float>() + of_query * lse_tiles.size(2);
    result.delta = delta_tiles.const_data_ptr<float>() + of_query * delta_tiles.size(2);
    result.dq = dq.data_ptr<float>() + of_query * queries * dim;
    result.dk = dk.data_ptr<float>() + of_key * keys * dim;
    result.dv = dv.data_ptr<float>() + of_key * keys * value_dim;
    return result;
  };
  // The heads that share keys add to the same gradients, in their order.
  at::parallel_for(0, query.size(0) * all.groups, 1, [&](std::int64_t begin, std::int64_t end) {
    float* const room =
        scratch(backward_scratch(queries, static_cast<int>(dim), static_cast<int>(value_dim)));
    for (std::int64_t task = begin; task < end; ++task) {
      const std::int64_t row = task / all.groups;
      for (std::int64_t i = 0; i < group; ++i) {
        const std::int64_t head = task % all.groups * group + i;
        instruction_set().attention.backward(all.at(row, head), head_gradient(row, head), room);
      }
    }
  });
  const auto unpacked = [](const Tensor& x, const Tensor& like) {
    return x.narrow(3, 0, like.size(3)).to(like.scalar_type());
  };
  return {unpacked(dq.mul_(scale), query), unpacked(dk.mul_(scale), key), unpacked(dv, value)};
}

using ForwardSignature = TwoTensors(const Tensor&, const Tensor&, const Tensor&, const MaybeTensor&,
                                    bool, double);
using BackwardSignature = ThreeTensors(const Tensor&, const MaybeTensor&, const Tensor&,
                                       const Tensor&, const Tensor&, const Tensor&, const Tensor&,
                                       const MaybeTensor&, bool, double);

double scale_of(const Tensor& query, const AttentionOptions& options) {
  return options.scale.value_or(1.0 / std::sqrt(static_cast<double>(query.size(3))));
}

ThreeTensors call_backward(const Tensor& gradient, const MaybeTensor& lse_gradient,
                           const Tensor& query, const Tensor& key, const Tensor& value,
                           const Tensor& output, const Tensor& lse,
                           const AttentionOptions& options) {
  static const auto op = find_operator<BackwardSignature>("titan_kernels::attention_backward");
  return op.call(gradient, lse_gradient, query, key, value, output, lse, options.allowed,
                 options.is_causal, scale_of(query, options));
}

struct AttentionFunction : public torch::autograd::Function<AttentionFunction> {
  static variable_list forward(AutogradContext* context, const Tensor& query, const Tensor& key,
                               const Tensor& value, const MaybeTensor& allowed, bool is_causal,
                               double scale) {
    const AttentionResult result =
        attention_forward(query, key, value, {is_causal, allowed, scale});
    context->save_for_backward(
        {query, key, value, result.output, result.lse, allowed.value_or(Tensor())});
    context->saved_data["is_causal"] = is_causal;
    context->saved_data["scale"] = scale;
    context->set_materialize_grads(false);
    return {result.output, result.lse};
  }

  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    AttentionOptions options;
    options.is_causal = context->saved_data["is_causal"].toBool();
    options.scale = context->saved_data["scale"].toDouble();
    if (saved[5].defined()) options.allowed = saved[5];
    const Tensor gradient =
        gradients[0].defined() ? gradients[0] : at::zeros(saved[3].sizes(), saved[3].options());
    const auto lse_gradient = gradients[1].defined() ? MaybeTensor(gradients[1]) : std::nullopt;
    const auto [dq, dk, dv] = call_backward(gradient, lse_gradient, saved[0], saved[1], saved[2],
                                            saved[3], saved[4], options);
    return {dq, dk, dv, {}, {}, {}};
  }
};

void check(const Tensor& query, const Tensor& key, const Tensor& value,
           const AttentionOptions& options) {
  TITAN_CHECK(takes_attention(query, key, value), "attention of tensors that it does not take");
  if (!options.allowed) return;
  const Tensor& allowed = *options.allowed;
  TITAN_CHECK(allowed.dim() == 4 && allowed.scalar_type() == at::kBool &&
                  (allowed.size(0) == 1 || allowed.size(0) == query.size(0)) &&
                  allowed.size(1) == 1 && allowed.size(2) == query.size(2) &&
                  allowed.size(3) == key.size(2),
              "a mask of another shape than the scores'");
}

}  // namespace

void define_attention(torch::Library& library) {
  define_operator(library,
                  "attention(Tensor query, Tensor key, Tensor value, Tensor? allowed, bool "
                  "is_causal, float scale) -> (Tensor, Tensor)",
                  forward, forward_shapes);
  define_operator(library,
                  "attention_backward(Tensor gradient, Tensor? lse_gradient, Tensor query, Tensor "
                  "key, Tensor value, Tensor output, Tensor lse, Tensor? allowed, bool is_causal, "
                  "float scale) -> (Tensor, Tensor, Tensor)",
                  backward, backward_shapes);
}

bool takes_attention(const Tensor& query, const Tensor& key, const Tensor& value) {
  const auto is_like = [&](const Tensor& x) {
    return x.is_cpu() && x.dim() == 4 && x.scalar_type() == query.scalar_type();
  };
  const bool has_type = query.scalar_type() == at::kFloat || query.scalar_type() == at::kBFloat16;
  return has_type && is_like(query) && is_like(key) && is_like(value) && query.numel() > 0 &&
         key.numel() > 0 && value.numel() > 0 && query.size(0) == key.size(0) &&
         key.sizes().slice(0, 3) == value.sizes().slice(0, 3) && query.size(1) % key.size(1) == 0 &&
         query.size(3) == key.size(3);
}

AttentionResult attention_forward(const Tensor& query, const Tensor& key, const Tensor& value,
                                  const AttentionOptions& options) {
  check(query, key, value, options);
  static const auto op = find_operator<ForwardSignature>("titan_kernels::attention");
  auto [output, lse] =
      op.call(query, key, value, options.allowed, options.is_causal, scale_of(query, options));
  return {output, lse};
}

AttentionGradients attention_backward(const Tensor& gradient, const Tensor& query,
                                      const Tensor& key, const Tensor& value,
                                      const AttentionResult& result,
                                      const AttentionOptions& options) {
  check(query, key, value, options);
  auto [dq, dk, dv] =
      call_backward(gradient, std::nullopt, query, key, value, result.output, result.lse, options);
  return {dq, dk, dv};
}

AttentionResult attention(const Tensor& query, const Tensor& key, const Tensor& value,
                          const AttentionOptions& options) {
  variable_list result = AttentionFunction::apply(query, key, value, options.allowed,
                                                  options.is_causal, scale_of(query, options));
  return {result[0], result[1]};
}

}  // namespace titan::kernels
