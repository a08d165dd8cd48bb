#include "forecast/fake_tensors.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/_flash_attention_forward.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cross_entropy_loss.h>
#include <ATen/ops/embedding.h>
#include <ATen/ops/embedding_dense_backward.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/linalg_vector_norm.h>
#include <ATen/ops/linear.h>
#include <ATen/ops/masked_select.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/polar.h>
#include <ATen/ops/rms_norm.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/silu.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/view_as_complex.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "forecast/traffic.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/comm/autograd_collectives.h"
#include "titan/comm/fake_backend.h"
#include "titan/comm/groups.h"
#include "titan/components/loss/vocabulary_parallel_loss.h"
#include "titan/nn/attention_masks.h"

namespace titan::forecast {
namespace {

constexpr std::int64_t kMiB = 1 << 20;

/// Everything that runs while it lives is fake.
struct Fake {
  std::shared_ptr<MemoryTracker> tracker = std::make_shared<MemoryTracker>();
  TrackingScope tracking{tracker, Memory::kPretended};
  FakeTensors tensors{tracker};
  autograd::DispatchModeScope mode{tensors};
};

TEST(FakeTensors, CountMemoryThatIsNotThere) {
  const Fake fake;
  const at::Tensor huge = at::ones({1 << 20, 1 << 20});  // 4 TiB
  const at::Tensor sum = huge + huge;
  EXPECT_EQ(fake.tracker->live().results, std::int64_t{8} << 40);
  EXPECT_EQ(sum.storage().data(), nullptr);
}

TEST(FakeTensors, ViewsAndInPlaceOperatorsCostNothing) {
  const Fake fake;
  const at::Tensor x = at::zeros({kMiB});
  const at::Tensor view = x.view({1024, 1024}).transpose(0, 1).slice(0, 0, 10);
  EXPECT_TRUE(view.is_alias_of(x));
  EXPECT_EQ(view.sizes(), (at::IntArrayRef{10, 1024}));
  const at::Tensor same = x.add_(1).mul_(x);
  EXPECT_TRUE(same.is_same(x));
  EXPECT_EQ(fake.tracker->live().total(), 4 * kMiB);
}

TEST(FakeTensors, MemoryEndsWithTheLastTensor) {
  const Fake fake;
  at::Tensor x = at::zeros({kMiB});
  const at::Tensor row = x.slice(0, 0, 1);
  x.reset();
  EXPECT_EQ(fake.tracker->live().total(), 4 * kMiB) << "a view holds it";
  const auto in_a_moment = [&] { return (row.expand({kMiB}) * 2).exp(); };
  in_a_moment();
  EXPECT_EQ(fake.tracker->live().total(), 4 * kMiB);
  EXPECT_EQ(fake.tracker->peak().total(), 12 * kMiB);
}

TEST(FakeTensors, NumbersReadAreOne) {
  const Fake fake;
  EXPECT_EQ(at::zeros({}).item<double>(), 1.0);
  EXPECT_EQ(at::zeros({}, at::kLong).item<std::int64_t>(), 1);
}

TEST(FakeTensors, RefuseOperatorsWhoseResultsDependOnNumbers) {
  const Fake fake;
  const at::Tensor x = at::ones({10});
  EXPECT_THAT(titan::test::message_of<RunError>([&] { at::masked_select(x, x > 0); }),
              testing::HasSubstr("aten::masked_select"));
}

/// Named so that a failure says which.
struct Operators {
  const char* name;
  std::function<std::vector<at::Tensor>(const std::function<at::Tensor(at::IntArrayRef)>&)> run;
};

TEST(FakeTensors, LookLikeWhatTheKernelsReturn) {
  const std::vector<Operators> all = {
      {"arithmetic",
       [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor x = make({3, 1, 5});
         return {x + make({4, 1}), x / 2, x.to(at::kBFloat16) * 2.5, x > 1, x.to(at::kLong) * 1.5};
       }},
      {"reductions",
       [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor x = make({3, 4, 5});
         return {x.sum(), x.mean(1), x.sum(at::IntArrayRef{0, 2}, true),
                 at::linalg_vector_norm(x, 2), x.cumsum(1)};
       }},
      {"products",
       [](const auto& make) -> std::vector<at::Tensor> {
         return {at::linear(make({2, 3, 8}), make({5, 8})), at::matmul(make({8, 3}), make({3}))};
       }},
      {"shapes",
       [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor x = make({2, 3, 4});
         return {x.transpose(1, 2).contiguous(), x.transpose(0, 2).reshape({4, 6}),
                 at::cat({x, x}, 1), at::stack({x, x}, -1), x.permute({2, 0, 1}).clone()};
       }},
      {"our rules",
       [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor ids = at::zeros({2, 3}, at::kLong);
         const at::Tensor x = make({7, 4});
         return {at::embedding(x, ids),
                 at::embedding_dense_backward(make({2, 3, 4}), ids, 9, -1, false),
                 at::index_select(x, 1, at::zeros({6}, at::kLong)),
                 at::where(x > 0, x, at::zeros({4}, at::kDouble))};
       }},
      {"attention",
       [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor q = make({2, 4, 6, 8}).transpose(1, 2).requires_grad_();
         const at::Tensor k = make({2, 4, 2, 8}).transpose(1, 2).requires_grad_();
         const at::Tensor out = at::scaled_dot_product_attention(q, k, k, {}, 0.0, true, {}, true);
         out.sum().backward();
         return {out, q.grad(), k.grad()};
       }},
      {"attention within documents",
       [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor mask = nn::block_causal_mask(at::zeros({2, 6}, at::kLong)).allowed;
         const at::Tensor q = make({2, 6, 4, 8}).transpose(1, 2).requires_grad_();
         const at::Tensor k = make({2, 6, 2, 8}).transpose(1, 2).requires_grad_();
         const at::Tensor out =
             at::scaled_dot_product_attention(q, k, k, mask, 0.0, false, {}, true);
         out.sum().backward();
         return {mask, out, q.grad(), k.grad()};
       }},
      {"loss",
       [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor x = make({6, 10}).requires_grad_();
         const at::Tensor loss = at::cross_entropy_loss(x, at::zeros({6}, at::kLong), {}, 2);
         loss.backward();
         return {loss, x.grad()};
       }},
      {"loss on a part of the vocabulary",
       [](const auto& make) -> std::vector<at::Tensor> {
         const auto backend = comm::make_fake_backend(2);
         const comm::Groups groups(*backend, {{.dp_shard = 1, .tp = 2}, 2}, 0, {}, nullptr);
         const at::Tensor x = make({2, 3, 5}).requires_grad_();
         const at::Tensor loss = components::vocabulary_parallel_cross_entropy_loss(
             x, at::zeros({2, 3}, at::kLong), 10, groups.find(mesh::MeshDim::kTp));
         loss.backward();
         return {loss, x.grad()};
       }},
      {"masks",
       [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor mask = make({3, 1}) > 0;
         const at::Tensor other = make({4}) > 0;
         return {mask.logical_or(other), mask.logical_xor(other), mask.logical_not(),
                 make({3, 4}).masked_fill(mask, 0.0)};
       }},
      {"views in place",
       [](const auto& make) -> std::vector<at::Tensor> {
         return {make({3, 4}).unsqueeze_(1), make({3, 1, 4}).squeeze_(1),
                 make({3, 4}).transpose_(0, 1), make({3, 4}).t_()};
       }},
      {"norm and activation",
       [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor x = make({2, 6}).requires_grad_();
         const at::Tensor y = at::silu(at::rms_norm(x, {6}, make({6}), 1e-5));
         y.sum().backward();
         return {y, x.grad()};
       }},
      {"complex", [](const auto& make) -> std::vector<at::Tensor> {
         const at::Tensor x = make({2, 6}).requires_grad_();
         const at::Tensor y =
             at::view_as_complex(x.view({2, 3, 2})) * at::polar(make({3}), make({3}));
         const at::Tensor z = at::view_as_real(y).flatten(1);
         z.sum().backward();
         return {z, x.grad()};
       }}};
  for (const Operators& operators : all) {
    const auto run = [&] {
      return operators.run([](at::IntArrayRef sizes) { return at::ones(sizes); });
    };
    const std::vector<at::Tensor> real = run();
    const Fake fake;
    const std::vector<at::Tensor> pretended = run();
    ASSERT_EQ(real.size(), pretended.size());
    for (std::size_t i = 0; i < real.size(); ++i) {
      const std::string which = operators.name + concat(", result ", i);
      EXPECT_EQ(real[i].sizes(), pretended[i].sizes()) << which;
      EXPECT_EQ(real[i].scalar_type(), pretended[i].scalar_type()) << which;
      EXPECT_EQ(real[i].strides(), pretended[i].strides()) << which;
    }
  }
}

/// There is no kernel for it on a CPU. As CUDA's: log-sum-exp of heads by tokens, whatever the documents.
TEST(FakeTensors, PackedAttentionNeedsNoGpu) {
  const Fake fake;
  const auto make = [](std::int64_t heads) {
    return at::ones({12, heads, 8}, at::kBFloat16).requires_grad_();
  };
  const at::Tensor q = make(4), k = make(2), v = make(2);
  const at::Tensor offsets = at::zeros({3}, at::kInt);
  const auto [out, sums, state, unused, mask] =
      at::_flash_attention_forward(q, k, v, offsets, offsets, 6, 6, 0.0, true, false);
  EXPECT_EQ(out.sizes(), q.sizes());
  EXPECT_EQ(out.scalar_type(), at::kBFloat16);
  EXPECT_EQ(sums.sizes(), (at::IntArrayRef{4, 12}));
  EXPECT_EQ(sums.scalar_type(), at::kFloat);
  EXPECT_EQ(mask.numel(), 0);
  out.sum().backward();
  for (const at::Tensor& x : {q, k, v}) {
    EXPECT_EQ(x.grad().sizes(), x.sizes());
    EXPECT_EQ(x.grad().scalar_type(), at::kBFloat16);
  }
}

TEST(FakeTensors, CommunicationHasTheRightSizesAndIsTold) {
  Traffic traffic(/*copies=*/false);
  const auto backend = comm::make_fake_backend(8);
  const comm::Groups groups(*backend, {{1, 8}, 8}, 0, {}, &traffic);
  comm::ProcessGroup& group = groups.find(mesh::MeshDim::kFsdp);
  const Fake fake;
  // 4 MiB on each rank, gathered, scattered and gathered again in backward.
  const at::Tensor part = at::zeros({1024, 1024}).set_requires_grad(true);
  const at::Tensor whole = comm::all_gather(part, 1, group);
  EXPECT_EQ(whole.sizes(), (at::IntArrayRef{1024, 8192}));
  EXPECT_EQ(whole.storage().data(), nullptr);
  const at::Tensor sum = comm::reduce_scatter(whole.exp(), 0, group);
  EXPECT_EQ(sum.sizes(), (at::IntArrayRef{128, 8192}));
  sum.sum().backward();
  EXPECT_EQ(part.grad().sizes(), part.sizes());
  const std::vector<Communication> total = traffic.total();
  ASSERT_EQ(total.size(), 2U);
  EXPECT_EQ(total[0].operation, "all_gather");
  EXPECT_EQ(total[0].calls, 2);
  EXPECT_EQ(total[0].tensor_bytes, 2 * 32 * kMiB);
  EXPECT_EQ(total[1].operation, "reduce_scatter");
  EXPECT_EQ(total[1].calls, 2);
}

}  // namespace
}  // namespace titan::forecast
