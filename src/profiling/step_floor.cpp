#include "titan/profiling/step_floor.h"

#include <ATen/Parallel.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu.h>
#include <ATen/ops/_scaled_dot_product_flash_attention_for_cpu_backward.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/empty_strided.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/randn.h>
#include <c10/core/GradMode.h>
#include <c10/util/Exception.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <tuple>

#include "titan/base/clock.h"
#include "titan/base/errors.h"
#include "titan/kernels/attention.h"
#include "titan/kernels/onednn_product.h"

namespace titan::profiling {

namespace {

using at::Tensor;

/// Who makes a call, and how.
struct Entrant {
  std::string name;
  std::function<void()> run;
};

/// The shortest of some runs, in seconds; nothing where a library has no such kernel.
std::optional<double> shortest(const std::function<void()>& run) try {
  constexpr double kEnough = 0.2;  // seconds
  constexpr int kMost = 20;
  run();  // the first makes what stays
  double best = 0;
  double sum = 0;
  for (int i = 0; i < kMost && (i < 3 || sum < kEnough); ++i) {
    const double begin = base::monotonic_seconds();
    run();
    const double seconds = base::monotonic_seconds() - begin;
    best = i == 0 ? seconds : std::min(best, seconds);
    sum += seconds;
  }
  return best;
} catch (const c10::Error&) {
  return std::nullopt;
}

Tensor random_like(const TensorLook& look) {
  const Tensor tensor = at::empty_strided(look.sizes, look.strides, look.dtype);
  // By its memory: elements of an expanded one are the same.
  const auto all = static_cast<std::int64_t>(tensor.storage().nbytes() / tensor.element_size());
  tensor.as_strided({all}, {1}).normal_();
  return tensor;
}

std::vector<Entrant> product_entrants(const Tensor& a, const Tensor& b) {
  std::vector<Entrant> entrants = {
      {"MKL", [a, b] { at::mm(a, b); }},
      {"oneDNN", [a, weight = b.t()] { kernels::multiply_on_onednn(a, weight); }}};
  if (a.scalar_type() == at::kFloat) {
    static const auto ours = c10::Dispatcher::singleton()
                                 .findSchemaOrThrow("titan_kernels::linear_product", "")
                                 .typed<Tensor(const Tensor&, const Tensor&)>();
    entrants.push_back({"titan_kernels", [a, weight = b.t()] { ours.call(a, weight); }});
  }
  return entrants;
}

/// A product of `[M, K]` and `[K, N]`, made so many times by one call.
struct Product {
  TensorLook a;
  TensorLook b;
  std::int64_t times = 1;

  auto operator<=>(const Product&) const = default;
};

/// Dimensions -2 and -1 alone, the other way round if `turned`.
TensorLook matrix(const TensorLook& look, bool turned = false) {
  const std::size_t n = look.sizes.size();
  TensorLook result = {{look.sizes[n - 2], look.sizes[n - 1]},
                       {look.strides[n - 2], look.strides[n - 1]},
                       look.dtype};
  if (turned) {
    std::swap(result.sizes[0], result.sizes[1]);
    std::swap(result.strides[0], result.strides[1]);
  }
  return result;
}

/// So many of the rows.
TensorLook rows(TensorLook look, std::int64_t count) {
  look.sizes[0] = std::max<std::int64_t>(1, count);
  return look;
}

/// Several matrices of one width, one below the other.
TensorLook stacked(const std::vector<TensorLook>& looks) {
  TensorLook result = matrix(looks.front());
  for (std::size_t i = 1; i < looks.size(); ++i) result.sizes[0] += looks[i].sizes[0];
  if (result.strides[0] == 1) result.strides[1] = result.sizes[0];
  return result;
}

/// Several matrices of one height, one beside the other.
TensorLook side_by_side(const std::vector<TensorLook>& looks) {
  TensorLook result = matrix(looks.front());
  for (std::size_t i = 1; i < looks.size(); ++i) result.sizes[1] += looks[i].sizes[1];
  if (result.strides[1] == 1) result.strides[0] = result.sizes[1];
  return result;
}

std::optional<Product> product_of(const OperatorCall& call) {
  const std::vector<TensorLook>& in = call.inputs;
  const auto batches = [](const TensorLook& look) {
    return look.sizes.size() < 3 ? std::int64_t{1} : look.sizes[0];
  };
  if (call.name == "aten::mm") return Product{matrix(in[0]), matrix(in[1])};
  if (call.name == "aten::addmm") return Product{matrix(in[1]), matrix(in[2])};
  if (call.name == "aten::bmm") return Product{matrix(in[0]), matrix(in[1]), batches(in[0])};
  if (call.name == "titan_kernels::linear_product") {
    return Product{matrix(in[0]), matrix(in[1], /*turned=*/true)};
  }
  if (call.name == "titan_kernels::linear_products") {
    return Product{stacked({in.begin(), in.end() - 1}), matrix(in.back(), /*turned=*/true)};
  }
  if (call.name == "titan_kernels::linear_products_of_one") {
    return Product{matrix(in[0]), matrix(stacked({in.begin() + 1, in.end()}), /*turned=*/true)};
  }
  if (call.name == "titan_kernels::linear_products_sum") {
    const auto middle = in.begin() + static_cast<std::ptrdiff_t>(in.size() / 2);
    return Product{side_by_side({in.begin(), middle}),
                   matrix(side_by_side({middle, in.end()}), /*turned=*/true)};
  }
  if (call.name == "titan_kernels::linear_product_") {
    return Product{matrix(in[1]), matrix(in[2], /*turned=*/true)};
  }
  if (call.name.starts_with("titan::grouped_product") && in.size() >= 3) {
    const bool of_weights = call.name.ends_with("weights_gradient");
    const std::int64_t groups = of_weights ? in[2].sizes[0] : in[1].sizes[0];
    const TensorLook part = rows(matrix(in[0]), in[0].sizes[0] / groups);
    if (of_weights) {
      return Product{matrix(part, true), rows(matrix(in[1]), part.sizes[0]), groups};
    }
    return Product{part, matrix(in[1], !call.name.ends_with("rows_gradient")), groups};
  }
  if (call.name.starts_with("titan_kernels::experts")) {
    // (rows, gate, ...), backward behind the gradient. All of its products have the same three sizes.
    const bool backward = call.name.ends_with("backward");
    const TensorLook& gate = in.at(backward ? 2 : 1);
    const std::int64_t experts = gate.sizes[0];
    return Product{rows(matrix(in[0]), in[0].sizes[0] / experts), matrix(gate, /*turned=*/true),
                   (backward ? 6 : 3) * experts};
  }
  return std::nullopt;
}

/// Attention of `[B, H, S, D]`.
struct Attention {
  TensorLook query;
  TensorLook key;
  TensorLook value;
  bool is_causal = false;
  bool is_masked = false;
  bool is_backward = false;

  auto operator<=>(const Attention&) const = default;
};

std::optional<Attention> attention_of(const OperatorCall& call) {
  const bool backward = call.name.ends_with("backward");
  const bool ours = call.name.starts_with("titan_kernels::attention");
  if (!ours && !call.name.starts_with("aten::_scaled_dot_product_flash_attention_for_cpu")) {
    return std::nullopt;
  }
  // Backward's first is the result's gradient; ours may have that of the log-sum-exp, of three dimensions, behind it.
  std::size_t first = backward ? 1 : 0;
  if (call.inputs.size() > first && call.inputs[first].sizes.size() != 4) ++first;
  if (call.inputs.size() < first + 3) return std::nullopt;
  return Attention{call.inputs[first], call.inputs[first + 1], call.inputs[first + 2],
                   call.is_causal,     call.is_masked,         backward};
}

std::vector<Entrant> attention_entrants(const Attention& attention) {
  std::vector<Entrant> entrants;
  if (attention.is_masked) return entrants;  // what a mask hides is not known here
  const Tensor q = random_like(attention.query);
  const Tensor k = random_like(attention.key);
  const Tensor v = random_like(attention.value);
  const bool causal = attention.is_causal;
  if (q.size(1) == k.size(1) && q.size(3) == v.size(3)) {
    const auto forward = [=] {
      return at::_scaled_dot_product_flash_attention_for_cpu(q, k, v, 0.0, causal);
    };
    if (!attention.is_backward) {
      entrants.push_back({"LibTorch", forward});
    } else {
      const auto [output, lse] = forward();
      entrants.push_back(
          {"LibTorch", [=, output = output, lse = lse, g = at::empty_like(output).normal_()] {
             at::_scaled_dot_product_flash_attention_for_cpu_backward(g, q, k, v, output, lse, 0.0,
                                                                      causal);
           }});
    }
  }
  if (kernels::takes_attention(q, k, v)) {
    const kernels::AttentionOptions options = {causal};
    if (!attention.is_backward) {
      entrants.push_back({"titan_kernels", [=] { kernels::attention_forward(q, k, v, options); }});
    } else {
      const kernels::AttentionResult result = kernels::attention_forward(q, k, v, options);
      entrants.push_back({"titan_kernels", [=, g = at::empty_like(result.output).normal_()] {
                            kernels::attention_backward(g, q, k, v, result, options);
                          }});
    }
  }
  return entrants;
}

std::string text(const Product& product) {
  const std::string times = product.times == 1 ? "" : concat(product.times, " x ");
  return concat(times, "mm ", product.a.sizes[0], " x ", product.a.sizes[1], " x ",
                product.b.sizes[1], product.a.strides[0] == 1 ? ", turned" : "",
                product.a.dtype == at::kFloat ? "" : concat(" ", c10::toString(product.a.dtype)));
}

std::string text(const Attention& attention) {
  const std::vector<std::int64_t>& q = attention.query.sizes;
  return concat("attention", attention.is_backward ? " backward " : " ", q[0], " x ", q[1], " x ",
                q[2], " x ", q[3], attention.is_causal ? ", causal" : "",
                attention.is_masked ? ", masked" : "");
}

/// The calls of one key, and the fastest of them.
struct Calls {
  std::int64_t count = 0;
  double seconds = 0;
  double flops = 0;
  double fastest = 0;

  void add(const OperatorCall& call) {
    fastest = count == 0 ? call.seconds : std::min(fastest, call.seconds);
    ++count;
    seconds += call.seconds;
    flops += call.cost.flops;
  }
};

Contest contest(std::string what, const Calls& calls, const std::vector<Entrant>& entrants,
                std::int64_t times) {
  Contest result{std::move(what), calls.count, calls.seconds, calls.flops, 0, "the step itself"};
  double best = calls.fastest;
  for (const Entrant& entrant : entrants) {
    const std::optional<double> seconds = shortest(entrant.run);
    if (!seconds || *seconds * static_cast<double>(times) >= best) continue;
    best = *seconds * static_cast<double>(times);
    result.best = entrant.name;
  }
  result.best_seconds = best * static_cast<double>(calls.count);
  return result;
}

}  // namespace

MachineRates measure_machine() {
  const c10::NoGradGuard no_grad;
  MachineRates rates;
  rates.threads = at::get_num_threads();
  constexpr std::int64_t kSize = 1024;
  const Tensor a = at::randn({kSize, kSize});
  for (const Entrant& entrant : product_entrants(a, at::randn({kSize, kSize}))) {
    const std::optional<double> seconds = shortest(entrant.run);
    if (!seconds) continue;
    const double flops = 2.0 * kSize * kSize * kSize / *seconds;
    if (flops > rates.flops)
      std::tie(rates.flops, rates.best_library) = std::tie(flops, entrant.name);
  }
  constexpr std::int64_t kLarge = 1 << 25;  // floats: larger than caches
  const Tensor from = at::randn({kLarge});
  Tensor to = at::empty_like(from);
  if (const auto seconds = shortest([&] { to.copy_(from); })) {
    rates.bytes = static_cast<double>(from.nbytes() + to.nbytes()) / *seconds;
  }
  return rates;
}

std::vector<Contest> hold_contests(const StepRecord& step) {
  const c10::NoGradGuard no_grad;
  std::map<Product, Calls> products;
  std::map<Attention, Calls> attentions;
  for (const OperatorCall& call : step.calls) {
    if (const auto product = product_of(call)) {
      products[*product].add(call);
    } else if (const auto attention = attention_of(call)) {
      attentions[*attention].add(call);
    }
  }
  std::vector<Contest> contests;
  for (const auto& [product, calls] : products) {
    contests.push_back(contest(text(product), calls,
                               product_entrants(random_like(product.a), random_like(product.b)),
                               product.times));
  }
  for (const auto& [attention, calls] : attentions) {
    contests.push_back(contest(text(attention), calls, attention_entrants(attention), 1));
  }
  std::ranges::sort(contests, std::ranges::greater(), &Contest::seconds);
  return contests;
}

double floor_seconds(const std::vector<Contest>& contests) {
  double seconds = 0;
  for (const Contest& one : contests) seconds += one.best_seconds;
  return seconds;
}

}  // namespace titan::profiling
