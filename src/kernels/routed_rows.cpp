#include "titan/kernels/routed_rows.h"

#include <ATen/Parallel.h>
#include <ATen/autocast_mode.h>
#include <ATen/ops/empty.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <optional>
#include <vector>

#include "kernels/define_operator.h"
#include "kernels/instruction_set.h"
#include "kernels/operators.h"
#include "titan/base/errors.h"

namespace titan::kernels {

using at::Tensor;

namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;
using MaybeTensor = std::optional<Tensor>;

constexpr std::int64_t kRowsAtOnce = 32;

MaybeTensor maybe(const Tensor& tensor) {
  return tensor.defined() ? MaybeTensor(tensor) : std::nullopt;
}

/// The scores in memory, as one row; null: each is 1. Holds on to them.
class Scores {
 public:
  explicit Scores(const MaybeTensor& scores)
      : scores_(scores ? scores->contiguous() : Tensor()),
        data_(scores ? scores_.const_data_ptr<float>() : nullptr) {}
  float operator[](std::int64_t place) const { return data_ == nullptr ? 1.0F : data_[place]; }

 private:
  Tensor scores_;
  const float* data_;
};

/// Which row each place of `[N · K]` has; -1: none.
std::vector<std::int64_t> rows_of_places(const Tensor& order, std::int64_t places) {
  const Tensor whole = order.contiguous();
  const std::int64_t* place = whole.const_data_ptr<std::int64_t>();
  std::vector<std::int64_t> rows(static_cast<std::size_t>(places), -1);
  for (std::int64_t row = 0; row < whole.numel(); ++row) {
    TITAN_CHECK(place[row] >= 0 && place[row] < places, "row ", row, " is for place ", place[row],
                " of ", places);
    rows[static_cast<std::size_t>(place[row])] = row;
  }
  return rows;
}

Tensor gather_shape(const Tensor& x, const Tensor& order, const MaybeTensor&, std::int64_t) {
  return at::empty({order.size(0), x.size(1)}, x.options());
}

Tensor gather(const Tensor& given, const Tensor& given_order, const MaybeTensor& given_scores,
              std::int64_t top_k) {
  const Tensor x = given.contiguous();
  const Tensor order = given_order.contiguous();
  const Scores scores(given_scores);
  Tensor y = gather_shape(x, order, given_scores, top_k);
  const std::int64_t dim = x.size(1);
  const auto* from = x.const_data_ptr<float>();
  const auto* place = order.const_data_ptr<std::int64_t>();
  auto* to = y.data_ptr<float>();
  at::parallel_for(0, order.size(0), kRowsAtOnce, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row) {
      instruction_set().rows.scale(from + place[row] / top_k * dim, scores[place[row]], dim,
                                   to + row * dim, /*adds=*/false);
    }
  });
  return y;
}

Tensor combine_shape(const Tensor& rows, const Tensor&, const MaybeTensor&, std::int64_t tokens,
                     std::int64_t) {
  return at::empty({tokens, rows.size(1)}, rows.options());
}

Tensor combine(const Tensor& given, const Tensor& order, const MaybeTensor& given_scores,
               std::int64_t tokens, std::int64_t top_k) {
  const Tensor rows = given.contiguous();
  const Scores scores(given_scores);
  const std::vector<std::int64_t> row_of = rows_of_places(order, tokens * top_k);
  Tensor y = combine_shape(rows, order, given_scores, tokens, top_k);
  const std::int64_t dim = rows.size(1);
  const auto* from = rows.const_data_ptr<float>();
  auto* to = y.data_ptr<float>();
  at::parallel_for(0, tokens, kRowsAtOnce, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t token = begin; token < end; ++token) {
      bool adds = false;
      for (std::int64_t place = token * top_k; place < (token + 1) * top_k; ++place) {
        const std::int64_t row = row_of[static_cast<std::size_t>(place)];
        if (row < 0) continue;
        instruction_set().rows.scale(from + row * dim, scores[place], dim, to + token * dim, adds);
        adds = true;
      }
      if (!adds) std::fill_n(to + token * dim, dim, 0.0F);
    }
  });
  return y;
}

Tensor products_shape(const Tensor& x, const Tensor&, const Tensor&, std::int64_t top_k) {
  return at::empty({x.size(0), top_k}, x.options());
}

/// Of each row and its token's x, by token: the gradient of the scores.
Tensor row_products(const Tensor& given_x, const Tensor& given_rows, const Tensor& order,
                    std::int64_t top_k) {
  const Tensor x = given_x.contiguous();
  const Tensor rows = given_rows.contiguous();
  const std::vector<std::int64_t> row_of = rows_of_places(order, x.size(0) * top_k);
  Tensor y = products_shape(x, rows, order, top_k);
  const std::int64_t dim = x.size(1);
  const auto* of_token = x.const_data_ptr<float>();
  const auto* of_row = rows.const_data_ptr<float>();
  auto* to = y.data_ptr<float>();
  at::parallel_for(0, y.numel(), kRowsAtOnce, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t place = begin; place < end; ++place) {
      const std::int64_t row = row_of[static_cast<std::size_t>(place)];
      to[place] = row < 0 ? 0.0F
                          : instruction_set().rows.product(of_token + place / top_k * dim,
                                                           of_row + row * dim, dim);
    }
  });
  return y;
}

Tensor gathered(const Tensor& x, const Tensor& order, const MaybeTensor& scores,
                std::int64_t top_k) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, const MaybeTensor&, std::int64_t)>(
          "titan_kernels::gather_rows");
  return op.call(x, order, scores, top_k);
}

Tensor combined(const Tensor& rows, const Tensor& order, const MaybeTensor& scores,
                std::int64_t tokens, std::int64_t top_k) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, const MaybeTensor&, std::int64_t,
                           std::int64_t)>("titan_kernels::combine_rows");
  return op.call(rows, order, scores, tokens, top_k);
}

Tensor score_gradients(const Tensor& x, const Tensor& rows, const Tensor& order,
                       std::int64_t top_k) {
  static const auto op =
      find_operator<Tensor(const Tensor&, const Tensor&, const Tensor&, std::int64_t)>(
          "titan_kernels::row_products");
  return op.call(x, rows, order, top_k);
}

// Each is what the other's gradient by the rows is.

struct GatherRows : public torch::autograd::Function<GatherRows> {
  static Tensor forward(AutogradContext* context, const Tensor& x, const Tensor& order,
                        const MaybeTensor& scores, std::int64_t top_k) {
    context->saved_data["top_k"] = top_k;
    context->saved_data["tokens"] = x.size(0);
    // Without scores x is no part of the gradient.
    context->save_for_backward({scores ? x : Tensor(), order, scores.value_or(Tensor())});
    return gathered(x, order, scores, top_k);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::int64_t top_k = context->saved_data["top_k"].toInt();
    variable_list result(4);
    result[0] = combined(gradients[0], saved[1], maybe(saved[2]),
                         context->saved_data["tokens"].toInt(), top_k);
    if (saved[2].defined()) result[2] = score_gradients(saved[0], gradients[0], saved[1], top_k);
    return result;
  }
};

struct CombineRows : public torch::autograd::Function<CombineRows> {
  static Tensor forward(AutogradContext* context, const Tensor& rows, const Tensor& order,
                        const MaybeTensor& scores, std::int64_t tokens, std::int64_t top_k) {
    context->saved_data["top_k"] = top_k;
    context->save_for_backward({scores ? rows : Tensor(), order, scores.value_or(Tensor())});
    return combined(rows, order, scores, tokens, top_k);
  }
  static variable_list backward(AutogradContext* context, const variable_list& gradients) {
    const variable_list saved = context->get_saved_variables();
    const std::int64_t top_k = context->saved_data["top_k"].toInt();
    variable_list result(5);
    result[0] = gathered(gradients[0], saved[1], maybe(saved[2]), top_k);
    if (saved[2].defined()) result[2] = score_gradients(gradients[0], saved[0], saved[1], top_k);
    return result;
  }
};

}  // namespace

void define_routed_rows(torch::Library& library) {
  define_operator(library,
                  "gather_rows(Tensor x, Tensor order, Tensor? scores, int top_k) -> Tensor",
                  gather, gather_shape);
  define_operator(library,
                  "combine_rows(Tensor rows, Tensor order, Tensor? scores, int tokens, int top_k) "
                  "-> Tensor",
                  combine, combine_shape);
  define_operator(library, "row_products(Tensor x, Tensor rows, Tensor order, int top_k) -> Tensor",
                  row_products, products_shape);
}

bool takes_routed_rows(const Tensor& rows) {
  return rows.is_cpu() && rows.scalar_type() == at::kFloat &&
         !at::autocast::is_autocast_enabled(at::kCPU);
}

Tensor gather_rows(const Tensor& x, const Tensor& order, const Tensor& scores, std::int64_t top_k) {
  return GatherRows::apply(x, order, maybe(scores), top_k);
}

Tensor combine_rows(const Tensor& rows, const Tensor& order, const Tensor& scores,
                    std::int64_t tokens, std::int64_t top_k) {
  return CombineRows::apply(rows, order, maybe(scores), tokens, top_k);
}

}  // namespace titan::kernels
