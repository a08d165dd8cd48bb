// Numbers of the Python original: PyTorch 2.11 on a CPU, fp32, seed 42, sequence length 64.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/abs.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/view_as_real.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "titan/components/loss/loss.h"
#include "titan/models/llama3/model.h"
#include "titan/parallel/clip_grad_norm.h"

namespace titan::models::llama3 {
namespace {

class LlamaGolden : public ::testing::Test {
 protected:
  LlamaGolden() {
    TransformerModelArgs args =
        *std::dynamic_pointer_cast<const TransformerModelArgs>(flavors().at("debugmodel"));
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

TEST_F(LlamaGolden, InitialWeights) {
  using Floats = std::vector<float>;
  EXPECT_EQ(first_three("tok_embeddings.weight"), (Floats{1.92691529F, 1.48728406F, 0.900717199F}));
  EXPECT_EQ(first_three("layers.0.attention.wq.weight"),
            (Floats{0.026415186F, 0.0146149388F, -0.00946737919F}));
  EXPECT_EQ(first_three("layers.1.attention.wo.weight"),
            (Floats{-0.00320610614F, -0.00935345888F, 0.00178590417F}));
  EXPECT_EQ(first_three("layers.5.feed_forward.w3.weight"),
            (Floats{0.00482607493F, 0.00495568197F, -0.00355260237F}));
  EXPECT_EQ(first_three("output.weight"), (Floats{-0.0565955974F, 0.0259683039F, 0.0895778015F}));
  double sum = 0;
  double absolute = 0;
  for (const auto& [name, tensor] : tensors_) {
    sum += tensor.sum(at::kDouble).item<double>();
    absolute += at::abs(tensor).sum(at::kDouble).item<double>();
  }
  EXPECT_NEAR(sum, 2503.5623353918, 1e-7);
  EXPECT_NEAR(absolute, 504727.555706, 1e-5);
}

TEST_F(LlamaGolden, LogitsLossAndGradientNorm) {
  const at::Tensor tokens = ((at::arange(130, at::kLong) * 7 + 3).view({2, 65})).remainder(2048);
  const at::Tensor input = tokens.slice(1, 0, 64);
  const at::Tensor labels = tokens.slice(1, 1, 65);
  const at::Tensor logits = model_->call(input);
  EXPECT_NEAR(logits[0][0][0].item<float>(), 0.4842985, 1e-5);
  EXPECT_NEAR(logits[0][0][1].item<float>(), -1.28605, 1e-5);
  EXPECT_NEAR(logits[1][63][2].item<float>(), 0.3925134, 1e-5);
  const at::Tensor loss = components::cross_entropy_loss(logits, labels) / labels.numel();
  EXPECT_NEAR(loss.item<double>(), 8.35013962, 1e-6);
  loss.backward();
  parallel::Parameters parameters;
  for (const auto& named : model_->named_parameters()) parameters.push_back(named.parameter);
  EXPECT_NEAR(parallel::total_grad_norm(parameters, comm::RankContext()).item<double>(), 1.47806656, 1e-4);
}

TEST_F(LlamaGolden, RotationsAreScaledAsInLlama31) {
  const at::Tensor table = at::view_as_real(model_->named_buffers().at(0).tensor);
  EXPECT_EQ(table.sizes().vec(), (std::vector<std::int64_t>{64, 8, 2}));
  EXPECT_NEAR(table[5][0][0].item<float>(), 0.2836622, 1e-7);
  EXPECT_NEAR(table[5][1][1].item<float>(), 0.82466733, 1e-7);
  EXPECT_NEAR(table[5][3][1].item<float>(), 0.036455244, 1e-8);
  EXPECT_NEAR(table[63][7][1].item<float>(), 8.12179e-05, 1e-9);
}

}  // namespace
}  // namespace titan::models::llama3
