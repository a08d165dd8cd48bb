#include "titan/kernels/attention.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/logaddexp.h>
#include <ATen/ops/logsumexp.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/randint.h>
#include <ATen/ops/randn.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "titan/kernels/products.h"

namespace titan::kernels {
namespace {

using at::Tensor;

struct Case {
  std::int64_t rows = 1, heads = 2, key_heads = 2, queries = 1, keys = 1, dim = 16, value_dim = 16;
  bool is_causal = true;
  at::ScalarType type = at::kFloat;
};

struct Call {
  explicit Call(const Case& c) {
    at::manual_seed(1);
    const auto make = [&](std::int64_t heads, std::int64_t length, std::int64_t dim) {
      // As projections give it: tokens before heads.
      const Tensor x = at::randn({c.rows, length, heads, dim}).to(c.type).transpose(1, 2);
      return x.detach().set_requires_grad(true);
    };
    q = make(c.heads, c.queries, c.dim);
    k = make(c.key_heads, c.keys, c.dim);
    v = make(c.key_heads, c.keys, c.value_dim);
    gradient = at::randn({c.rows, c.queries, c.heads, c.value_dim}).to(c.type);
    lse_gradient = at::randn({c.rows, c.heads, c.queries});
    options.is_causal = c.is_causal;
  }
  Tensor q, k, v, gradient, lse_gradient;
  AttentionOptions options;
};

struct Results {
  Tensor output, lse, dq, dk, dv;
};

Results differentiate(const Call& call, const AttentionResult& result) {
  const Tensor sum = (result.output * call.gradient.to(result.output.scalar_type())).sum() +
                     (result.lse * call.lse_gradient.to(result.lse.scalar_type())).sum();
  sum.backward();
  return {result.output.detach(), result.lse.detach(), call.q.grad(), call.k.grad(), call.v.grad()};
}

/// The definition, in fp64.
Results by_definition(Call call) {
  for (Tensor* x : {&call.q, &call.k, &call.v}) {
    *x = x->detach().to(at::kDouble).set_requires_grad(true);
  }
  const std::int64_t group = call.q.size(1) / call.k.size(1);
  const Tensor k = call.k.repeat_interleave(group, 1);
  const Tensor v = call.v.repeat_interleave(group, 1);
  const double scale = call.options.scale.value_or(1 / std::sqrt(static_cast<double>(k.size(3))));
  Tensor scores = scale * at::matmul(call.q, k.transpose(2, 3));
  Tensor seen = at::ones({scores.size(2), scores.size(3)}, at::kBool);
  if (call.options.is_causal) seen = seen.tril(scores.size(3) - scores.size(2));
  if (call.options.allowed) seen = seen.logical_and(*call.options.allowed);
  scores = scores.masked_fill(seen.logical_not(), -1e300);
  const Tensor output = at::matmul(at::softmax(scores, -1), v).transpose(1, 2);
  return differentiate(call, {output, at::logsumexp(scores, {-1})});
}

/// The largest difference, relative to the largest value: sums of up to 300 terms in fp32.
double distance(const Tensor& a, const Tensor& b) {
  const double size = b.abs().max().item<double>();
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>() / std::max(size, 1e-30);
}

void expect_close(const Results& a, const Results& b, double bound) {
  EXPECT_LT(distance(a.output, b.output), bound);
  EXPECT_LT(distance(a.lse, b.lse), bound);
  EXPECT_LT(distance(a.dq, b.dq), bound);
  EXPECT_LT(distance(a.dk, b.dk), bound);
  EXPECT_LT(distance(a.dv, b.dv), bound);
}

Results run(const Call& call) {
  return differentiate(call, attention(call.q, call.k, call.v, call.options));
}

constexpr double kFp32 = 3e-6;
constexpr double kBf16 = 1e-2;  // results are rounded to 8 bits

/// Who multiplies: vectors in fp32, and the processor's unit for tiles where it has one.
std::vector<Products> all_products() {
  std::vector<Products> all = {Products::kBlas};
  if (can_multiply(Products::kSplit)) all.push_back(Products::kSplit);
  return all;
}

std::vector<Case> all_shapes() {
  return {
      {.queries = 1, .keys = 1},
      {.queries = 200, .keys = 200},
      {.rows = 2,
       .heads = 4,
       .key_heads = 2,
       .queries = 64,
       .keys = 64,
       .dim = 64,
       .value_dim = 64},
      {.heads = 6, .key_heads = 2, .queries = 65, .keys = 97, .dim = 32, .value_dim = 48},
      {.queries = 70, .keys = 300, .is_causal = false},
      {.queries = 33, .keys = 33, .dim = 24, .value_dim = 20},
      {.queries = 50, .keys = 50, .dim = 192, .value_dim = 128},
      {.queries = 40, .keys = 40, .dim = 256, .value_dim = 256},
      {.queries = 40, .keys = 40, .dim = 80, .value_dim = 96},
      {.queries = 300, .keys = 530, .dim = 48},
  };
}

TEST(Attention, IsTheDefinitionForAllShapes) {
  for (const Products products : all_products()) {
    const ProductsScope scope(products);
    const std::vector<Case> cases = all_shapes();
    for (std::size_t i = 0; i < cases.size(); ++i) {
      SCOPED_TRACE(i);
      const Call call(cases[i]);
      expect_close(run(call), by_definition(call), kFp32);
    }
  }
}

TEST(Attention, TakesNoTensorsThatDoNotBelongTogether) {
  const Tensor query = at::randn({2, 4, 5, 8});
  const Tensor key = at::randn({2, 2, 6, 8});
  EXPECT_TRUE(takes_attention(query, key, at::randn({2, 2, 6, 3})));
  EXPECT_FALSE(takes_attention(query, key, at::randn({2, 2, 7, 8})));
  EXPECT_FALSE(takes_attention(query, key, at::randn({3, 2, 6, 8})));
  EXPECT_FALSE(takes_attention(query, at::randn({1, 2, 6, 8}), at::randn({1, 2, 6, 8})));
  EXPECT_FALSE(takes_attention(query, at::randn({2, 3, 6, 8}), at::randn({2, 3, 6, 8})));
}

TEST(Attention, TakesBfloat16) {
  for (const Products products : all_products()) {
    const ProductsScope scope(products);
    std::vector<Case> cases = all_shapes();
    for (std::size_t i = 0; i < cases.size(); ++i) {
      SCOPED_TRACE(i);
      cases[i].type = at::kBFloat16;
      const Call call(cases[i]);
      const Results results = run(call);
      EXPECT_EQ(results.output.scalar_type(), at::kBFloat16);
      EXPECT_EQ(results.dq.scalar_type(), at::kBFloat16);
      expect_close(results, by_definition(call), kBf16);
    }
  }
}

/// With each that multiplies.
class AttentionProducts : public testing::TestWithParam<Products> {
  const ProductsScope scope_{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(All, AttentionProducts, testing::ValuesIn(all_products()));

TEST(Attention, GradientsLieAsTheProjectionsHaveMadeThem) {
  if (!can_multiply(Products::kSplit)) GTEST_SKIP() << "the unit for tiles is not there";
  const Call call({.rows = 2, .heads = 4, .key_heads = 2, .queries = 40, .keys = 40});
  const AttentionGradients gradients =
      attention_backward(call.gradient, call.q.detach(), call.k.detach(), call.v.detach(),
                         attention_forward(call.q, call.k, call.v, call.options), call.options);
  EXPECT_TRUE(gradients.query.transpose(1, 2).is_contiguous());
  EXPECT_TRUE(gradients.key.transpose(1, 2).is_contiguous());
  EXPECT_TRUE(gradients.value.transpose(1, 2).is_contiguous());
}

/// Documents of 70, 1 and 129 tokens in one row, one document in the other.
TEST_P(AttentionProducts, SeesNothingBeyondAMask) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    Call call({.rows = 2,
               .heads = 4,
               .key_heads = 1,
               .queries = 200,
               .keys = 200,
               .is_causal = false,
               .type = type});
    const Tensor place = at::arange(200);
    const Tensor document = (place >= 70).to(at::kLong) + (place >= 71).to(at::kLong);
    const Tensor both = at::stack({document, at::zeros_like(document)});
    call.options.allowed = (both.unsqueeze(1) == both.unsqueeze(2))
                               .logical_and((place.unsqueeze(1) >= place.unsqueeze(0)))
                               .unsqueeze(1);
    expect_close(run(call), by_definition(call), type == at::kFloat ? kFp32 : kBf16);
  }
}

TEST_P(AttentionProducts, AWindowIsAMaskBesideCausality) {
  Call call({.queries = 260, .keys = 260});
  const Tensor place = at::arange(260);
  call.options.allowed = ((place.unsqueeze(1) - place.unsqueeze(0)) < 30).unsqueeze(0).unsqueeze(0);
  expect_close(run(call), by_definition(call), kFp32);
}

TEST_P(AttentionProducts, AQueryThatSeesNothingIsZero) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    Call call({.queries = 70, .keys = 50, .is_causal = false, .type = type});
    call.options.allowed = at::ones({1, 1, 70, 50}, at::kBool);
    call.options.allowed->select(2, 66).fill_(false);
    call.lse_gradient.select(2, 66).zero_();
    const AttentionResult result = attention(call.q, call.k, call.v, call.options);
    EXPECT_EQ(result.output.select(1, 66).abs().max().item<float>(), 0);
    EXPECT_EQ(result.lse.select(2, 66).max().item<float>(),
              -std::numeric_limits<float>::infinity());
    (result.output * call.gradient).sum().backward();
    EXPECT_EQ(call.q.grad().select(2, 66).abs().max().item<float>(), 0);
    EXPECT_TRUE(call.k.grad().isfinite().all().item<bool>());
    EXPECT_TRUE(call.v.grad().isfinite().all().item<bool>());
  }
}

/// As in a ring: keys in two parts, one behind the other.
TEST_P(AttentionProducts, PartsOfTheKeysAddUpToTheWhole) {
  const Call call({.heads = 4, .key_heads = 2, .queries = 96, .keys = 160, .is_causal = false});
  const Results whole = run(call);
  AttentionResult sum;
  for (const auto& [begin, end] : {std::pair{0, 50}, std::pair{50, 160}}) {
    const AttentionResult part =
        attention_forward(call.q.detach(), call.k.detach().slice(2, begin, end),
                          call.v.detach().slice(2, begin, end), call.options);
    if (!sum.lse.defined()) {
      sum = part;
      continue;
    }
    const Tensor lse = at::logaddexp(sum.lse, part.lse);
    const auto weight = [&](const Tensor& of) {
      return (of - lse).exp().transpose(1, 2).unsqueeze(-1);
    };
    sum = {sum.output * weight(sum.lse) + part.output * weight(part.lse), lse};
  }
  EXPECT_LT(distance(sum.output, whole.output), kFp32);
  const Call again = call;
  for (const Tensor& x : {again.q, again.k, again.v}) x.mutable_grad().reset();
  (attention(call.q, call.k, call.v, call.options).output * call.gradient).sum().backward();
  Tensor dq = at::zeros(call.q.sizes());
  std::vector<Tensor> dk;
  std::vector<Tensor> dv;
  for (const auto& [begin, end] : {std::pair{0, 50}, std::pair{50, 160}}) {
    const AttentionGradients part =
        attention_backward(call.gradient, call.q.detach(), call.k.detach().slice(2, begin, end),
                           call.v.detach().slice(2, begin, end), sum, call.options);
    dq = dq + part.query;
    dk.push_back(part.key);
    dv.push_back(part.value);
  }
  EXPECT_LT(distance(dq, call.q.grad()), kFp32);
  EXPECT_LT(distance(at::cat(dk, 2), call.k.grad()), kFp32);
  EXPECT_LT(distance(at::cat(dv, 2), call.v.grad()), kFp32);
}

/// A sink is a score that takes its share of the sum and has no value.
TEST_P(AttentionProducts, ASinkIsMadeOfTheLogSumExp) {
  const Call call({.queries = 80, .keys = 80});
  const double sink = 0.7;
  const AttentionResult result = attention(call.q, call.k, call.v, call.options);
  const Tensor output =
      result.output * at::sigmoid(result.lse - sink).transpose(1, 2).unsqueeze(-1);
  (output * call.gradient).sum().backward();
  const Tensor q = call.q.detach().to(at::kDouble).set_requires_grad(true);
  Tensor scores = at::matmul(q, call.k.detach().to(at::kDouble).transpose(2, 3)) / 4.0;
  scores = scores.masked_fill(at::ones({80, 80}, at::kBool).tril().logical_not(), -1e300);
  const Tensor with_sink = at::cat({scores, at::zeros({1, 2, 80, 1}, at::kDouble) + sink}, -1);
  const Tensor expected =
      at::matmul(at::softmax(with_sink, -1).slice(-1, 0, 80), call.v.detach().to(at::kDouble))
          .transpose(1, 2);
  (expected * call.gradient.to(at::kDouble)).sum().backward();
  EXPECT_LT(distance(output.detach(), expected.detach()), kFp32);
  EXPECT_LT(distance(call.q.grad(), q.grad()), kFp32);
}

TEST_P(AttentionProducts, HasTheSameBitsForAnyNumberOfThreads) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Call call(
        {.rows = 2, .heads = 4, .key_heads = 2, .queries = 150, .keys = 150, .type = type});
    const int threads = at::get_num_threads();
    std::vector<Results> results;
    for (const int count : {1, 3}) {
      at::set_num_threads(count);
      for (const Tensor& x : {call.q, call.k, call.v}) x.mutable_grad().reset();
      results.push_back(run(call));
    }
    at::set_num_threads(threads);
    EXPECT_TRUE(results[0].output.equal(results[1].output));
    EXPECT_TRUE(results[0].dq.equal(results[1].dq));
    EXPECT_TRUE(results[0].dk.equal(results[1].dk));
    EXPECT_TRUE(results[0].dv.equal(results[1].dv));
  }
}

TEST_P(AttentionProducts, ShowsWhatIsNoNumber) {
  for (const at::ScalarType type : {at::kFloat, at::kBFloat16}) {
    const Call call({.queries = 100, .keys = 100, .type = type});
    call.k.detach().select(2, 60).fill_(std::numeric_limits<float>::quiet_NaN());
    const AttentionResult result = attention(call.q, call.k, call.v, call.options);
    EXPECT_TRUE(result.output.select(1, 59).isfinite().all().item<bool>());
    EXPECT_TRUE(result.output.select(1, 60).isnan().all().item<bool>());
  }
}

/// Scores that no float holds the exponential of, and weights that vanish.
TEST_P(AttentionProducts, TakesScoresOfAnySize) {
  Call call({.queries = 100, .keys = 100});
  call.options.scale = 100;
  expect_close(run(call), by_definition(call), 3e-4);  // scores to 1,000, of 24 bits
  call.options.scale = -0.25;
  for (const Tensor& x : {call.q, call.k, call.v}) x.mutable_grad().reset();
  expect_close(run(call), by_definition(call), kFp32);
}

}  // namespace
}  // namespace titan::kernels
