// Numbers of the Python original: PyTorch 2.11 on a CPU, fp32, seed 42, sequence length 64.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/view_as_real.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "titan/components/loss/loss.h"
#include "titan/models/deepseek_v3/model.h"
#include "titan/parallel/clip_grad_norm.h"

namespace titan::models::deepseek_v3 {
namespace {

using Floats = std::vector<float>;

class Golden {
 public:
  explicit Golden(std::int64_t max_seq_len) {
    DeepSeekV3ModelArgs args =
        *std::dynamic_pointer_cast<const DeepSeekV3ModelArgs>(flavors().at("debugmodel"));
    args.max_seq_len = max_seq_len;
    model = std::make_unique<Transformer>(args, at::kFloat);
    model->to_empty(at::kCPU);
    const c10::NoGradGuard no_grad;
    model->init_weights(at::make_generator<at::CPUGeneratorImpl>(42), std::nullopt);
    for (const nn::NamedParameter& parameter : model->named_parameters()) {
      tensors[parameter.name] = parameter.tensor();
    }
  }

  Floats first_three(const std::string& name) {
    const float* data = tensors.at(name).const_data_ptr<float>();
    return {data, data + 3};
  }

  void expect_step(double loss, double norm, const Floats& first_logits) {
    at::Tensor counts;
    dynamic_cast<nn::MoE&>(model->submodule("layers.1.moe"))
        .router()
        .add_post_forward_hook([&](nn::Module&, const nn::Inputs&, const nn::Tensors& outputs) {
          counts = outputs.at(2);
        });
    const at::Tensor tokens = ((at::arange(130, at::kLong) * 7 + 3).view({2, 65})).remainder(2048);
    const at::Tensor labels = tokens.slice(1, 1, 65);
    const at::Tensor logits = model->call(tokens.slice(1, 0, 64));
    for (std::int64_t i = 0; i < 3; ++i) {
      EXPECT_NEAR(logits[0][0][i].item<float>(), first_logits[static_cast<std::size_t>(i)], 1e-5);
    }
    EXPECT_TRUE(counts.equal(at::tensor({44, 42, 47, 59, 44, 44, 58, 46}, at::kLong))) << counts;
    const at::Tensor mean = components::cross_entropy_loss(logits, labels) / labels.numel();
    EXPECT_NEAR(mean.item<double>(), loss, 1e-6);
    mean.backward();
    parallel::Parameters parameters;
    for (const auto& named : model->named_parameters()) parameters.push_back(named.parameter);
    EXPECT_NEAR(parallel::total_grad_norm(parameters, comm::RankContext()).item<double>(), norm,
                1e-4);
  }

  std::unique_ptr<Transformer> model;
  std::map<std::string, at::Tensor> tensors;
};

TEST(DeepSeekGolden, InitialWeights) {
  Golden golden(64);
  EXPECT_EQ(golden.first_three("tok_embeddings.weight"),
            (Floats{1.92691529F, 1.48728406F, 0.900717199F}));
  EXPECT_EQ(golden.first_three("layers.0.attention.wkv_a.weight"),
            (Floats{0.026415186F, 0.0146149388F, -0.00946737919F}));
  EXPECT_EQ(golden.first_three("layers.0.attention.wq.weight"),
            (Floats{-0.002444654F, 0.0151477624F, 0.00491621904F}));
  EXPECT_EQ(golden.first_three("layers.1.moe.experts.w1"),
            (Floats{0.0334144942F, 0.0265178159F, -0.0234804861F}));
  EXPECT_EQ(golden.first_three("layers.1.moe.router.gate.weight"),
            (Floats{-0.000233162791F, 0.00799723901F, 0.021542713F}));
  EXPECT_EQ(golden.first_three("layers.1.moe.shared_experts.w3.weight"),
            (Floats{-0.00581491785F, 0.00338112237F, -0.00163164863F}));
  EXPECT_EQ(golden.first_three("output.weight"),
            (Floats{-0.0185043048F, -0.089701876F, 0.0181291774F}));
  double sum = 0;
  double absolute = 0;
  for (const auto& [name, tensor] : golden.tensors) {
    sum += tensor.sum(at::kDouble).item<double>();
    absolute += at::abs(tensor).sum(at::kDouble).item<double>();
  }
  // The inverse error function rounds otherwise on each kind of processor.
  EXPECT_NEAR(sum, 5561.8807753176, 1e-5);
  EXPECT_NEAR(absolute, 864438.122411, 1e-4);
}

TEST(DeepSeekGolden, LogitsLossAndGradientNorm) {
  Golden(64).expect_step(8.22428036, 2.03665709, {-1.136296F, -0.08869201F, 1.57188F});
}

TEST(DeepSeekGolden, TheSameWithStretchedPositions) {
  Golden(8192).expect_step(8.22513866, 2.04911804, {-1.136296F, -0.08869201F, 1.57188F});
}

TEST(DeepSeekGolden, RotationsWithAndWithoutYarn) {
  for (const auto& [length, real, imaginary] :
       {std::tuple{64, 0.99875027F, 0.04997917F}, std::tuple{8192, 0.99962193F, 0.02749654F}}) {
    const Golden golden(length);
    const at::Tensor table = at::view_as_real(golden.model->named_buffers().at(0).tensor);
    ASSERT_EQ(table.sizes().vec(), (std::vector<std::int64_t>{length, 32, 2}));
    EXPECT_NEAR(table[5][0][0].item<float>(), 0.2836622, 1e-7);
    EXPECT_NEAR(table[5][1][1].item<float>(), -0.57112712, 1e-6);
    EXPECT_NEAR(table[5][16][0].item<float>(), real, 1e-7);
    EXPECT_NEAR(table[5][16][1].item<float>(), imaginary, 1e-7);
  }
}

}  // namespace
}  // namespace titan::models::deepseek_v3
