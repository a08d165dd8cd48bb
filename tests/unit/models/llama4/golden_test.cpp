// Numbers of the Python original: PyTorch 2.11 on a CPU, fp32, seed 42, sequence length 64.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/view_as_real.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "titan/components/loss/loss.h"
#include "titan/models/llama4/model.h"
#include "titan/parallel/clip_grad_norm.h"

namespace titan::models::llama4 {
namespace {

class Llama4Golden : public ::testing::Test {
 protected:
  Llama4Golden() {
    TransformerModelArgs args =
        dynamic_cast<const TransformerModelArgs&>(*flavors().at("debugmodel"));
    args.max_seq_len = 64;
    model_ = std::make_unique<Transformer>(args, at::kFloat);
    model_->to_empty(at::kCPU);
    const c10::NoGradGuard no_grad;
    model_->init_weights(at::make_generator<at::CPUGeneratorImpl>(42), std::nullopt);
    for (const nn::NamedParameter& parameter : model_->named_parameters()) {
      tensors_[parameter.name] = parameter.tensor();
    }
  }

  std::vector<float> first_three(const std::string& name) {
    const float* data = tensors_.at(name).const_data_ptr<float>();
    return {data, data + 3};
  }

  std::unique_ptr<Transformer> model_;
  std::map<std::string, at::Tensor> tensors_;
};

TEST_F(Llama4Golden, InitialWeights) {
  using Floats = std::vector<float>;
  EXPECT_EQ(first_three("tok_embeddings.weight"), (Floats{1.92691529F, 1.48728406F, 0.900717199F}));
  EXPECT_EQ(first_three("layers.1.moe.experts.w1"),
            (Floats{0.0166747365F, -0.0141436458F, 0.00492856652F}));
  EXPECT_EQ(first_three("layers.1.moe.router.gate.weight"),
            (Floats{-0.0117559806F, 0.00646069041F, -0.00510374457F}));
  EXPECT_EQ(first_three("output.weight"), (Floats{-0.149090528F, 0.0476206169F, -0.0721013099F}));
  double sum = 0;
  for (const auto& [name, tensor] : tensors_) sum += tensor.sum(at::kDouble).item<double>();
  // The inverse error function behind truncated normal numbers rounds otherwise on other processors.
  EXPECT_NEAR(sum, 2512.1942386313, 1e-5);
}

TEST_F(Llama4Golden, LogitsLossAndGradientNorm) {
  const at::Tensor tokens = ((at::arange(130, at::kLong) * 7 + 3).view({2, 65})).remainder(2048);
  const at::Tensor labels = tokens.slice(1, 1, 65);
  const at::Tensor logits = model_->call(tokens.slice(1, 0, 64));
  EXPECT_NEAR(logits[0][0][0].item<float>(), -1.172078, 1e-5);
  EXPECT_NEAR(logits[0][0][2].item<float>(), -0.9547766, 1e-5);
  EXPECT_NEAR(logits[1][63][2].item<float>(), 0.6563131, 1e-5);
  const at::Tensor loss = components::cross_entropy_loss(logits, labels) / labels.numel();
  EXPECT_NEAR(loss.item<double>(), 8.13516426, 1e-6);
  loss.backward();
  parallel::Parameters parameters;
  for (const auto& named : model_->named_parameters()) parameters.push_back(named.parameter);
  EXPECT_NEAR(parallel::total_grad_norm(parameters, comm::RankContext()).item<double>(), 1.47336233,
              1e-4);
}

TEST_F(Llama4Golden, LongWavelengthsAreDividedBySixteen) {
  const at::Tensor table = at::view_as_real(model_->named_buffers().at(0).tensor);
  EXPECT_NEAR(table[5][1][1].item<float>(), 0.82466733, 1e-7);
  EXPECT_NEAR(table[5][3][1].item<float>(), 0.036455244, 1e-8);
  EXPECT_NEAR(table[63][7][1].item<float>(), 4.06090e-05, 1e-9);
}

}  // namespace
}  // namespace titan::models::llama4
