// Numbers of the Python original: PyTorch 2.11 on a CPU, fp32, seed 42, sequence length 64.
#include <ATen/CPUGeneratorImpl.h>
#include <ATen/TensorOperators.h>
#include <ATen/ops/arange.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "titan/components/loss/loss.h"
#include "titan/models/qwen3/model.h"
#include "titan/parallel/clip_grad_norm.h"

namespace titan::models::qwen3 {
namespace {

struct Golden {
  const char* name;
  const char* flavor;
  bool tied;
  std::vector<float> output;
  std::vector<float> wo;
  double sum;
  double loss;
  double grad_norm;
  std::vector<double> first_logits;
};

class Qwen3Golden : public ::testing::TestWithParam<Golden> {
 protected:
  Qwen3Golden() {
    Qwen3ModelArgs args = dynamic_cast<const Qwen3ModelArgs&>(*flavors().at(GetParam().flavor));
    args.max_seq_len = 64;
    args.enable_weight_tying = GetParam().tied;
    model_ = std::make_unique<Qwen3Model>(args, at::kFloat);
    model_->to_empty(at::kCPU);
    const c10::NoGradGuard no_grad;
    model_->init_weights(at::make_generator<at::CPUGeneratorImpl>(42), std::nullopt);
    for (const nn::NamedParameter& named : model_->parameter_names()) {
      tensors_[named.name] = named.tensor();
    }
  }

  std::vector<float> first_three(const std::string& name) {
    const float* data = tensors_.at(name).const_data_ptr<float>();
    return {data, data + 3};
  }

  std::unique_ptr<Qwen3Model> model_;
  std::map<std::string, at::Tensor> tensors_;
};

TEST_P(Qwen3Golden, InitialWeights) {
  using Floats = std::vector<float>;
  const Floats output = GetParam().output;
  const Floats embedding = {1.92691529F, 1.48728406F, 0.900717199F};
  EXPECT_EQ(first_three("tok_embeddings.weight"), GetParam().tied ? output : embedding);
  EXPECT_EQ(first_three("output.weight"), output);
  EXPECT_EQ(first_three("layers.0.attention.wo.weight"), GetParam().wo);
  double sum = 0;
  for (const nn::NamedParameter& named : model_->named_parameters()) {
    sum += named.tensor().sum(at::kDouble).item<double>();
  }
  // The inverse error function behind truncated normal numbers rounds otherwise on other processors.
  EXPECT_NEAR(sum, GetParam().sum, 1e-5);
}

TEST_P(Qwen3Golden, LogitsLossAndGradientNorm) {
  const at::Tensor tokens = ((at::arange(130, at::kLong) * 7 + 3).view({2, 65})).remainder(2048);
  const at::Tensor labels = tokens.slice(1, 1, 65);
  const at::Tensor logits = model_->call(tokens.slice(1, 0, 64));
  for (std::int64_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(logits[0][0][i].item<double>(),
                GetParam().first_logits[static_cast<std::size_t>(i)], 1e-5);
  }
  const at::Tensor loss = components::cross_entropy_loss(logits, labels) / labels.numel();
  EXPECT_NEAR(loss.item<double>(), GetParam().loss, 1e-6);
  loss.backward();
  parallel::Parameters parameters;
  for (const auto& named : model_->named_parameters()) parameters.push_back(named.parameter);
  const double norm = parallel::total_grad_norm(parameters, comm::RankContext()).item<double>();
  EXPECT_NEAR(norm, GetParam().grad_norm, 1e-4 * GetParam().grad_norm);
}

TEST_P(Qwen3Golden, HalvesAreRotated) {
  const at::Tensor table = model_->named_buffers().at(0).tensor;
  EXPECT_EQ(table.sizes().vec(), (std::vector<std::int64_t>{64, 256}));
  const at::Tensor row = table[5];
  const std::vector<double> cos = {0.2836622, -0.63126093, -0.99445945};
  const std::vector<double> sin = {-0.95892429, -0.77557051, -0.10512096};
  for (std::int64_t j = 0; j < 3; ++j) {
    const auto place = static_cast<std::size_t>(j);
    EXPECT_NEAR(row[j].item<double>(), cos[place], 1e-6);
    EXPECT_NEAR(row[128 + 64 + j].item<double>(), sin[place], 1e-6);
  }
}

const std::vector<float> kOutput = {0.0140508981F, -0.0231972113F, -0.0965495482F};
const std::vector<float> kOutputBehindExperts = {-0.0970785618F, -0.0687767044F, 0.116410688F};
const std::vector<float> kWo = {-0.00453411881F, -0.0132277878F, 0.00252564996F};

INSTANTIATE_TEST_SUITE_P(Heads, Qwen3Golden,
                         ::testing::Values(Golden{"own",
                                                  "debugmodel",
                                                  false,
                                                  kOutput,
                                                  kWo,
                                                  5607.2895634099,
                                                  8.06967258,
                                                  2.11641955,
                                                  {0.2534183, 0.09536952, 0.2792928}},
                                           Golden{"tied",
                                                  "debugmodel",
                                                  true,
                                                  kOutput,
                                                  kWo,
                                                  6397.5556372911,
                                                  8.16075611,
                                                  17.47577667,
                                                  {1.217389, 0.4945116, 0.0812682}},
                                           Golden{"moe",
                                                  "debugmodel_moe",
                                                  false,
                                                  kOutputBehindExperts,
                                                  kWo,
                                                  5484.2159619939,
                                                  7.98799038,
                                                  2.08812571,
                                                  {-0.3329045, -1.478835, -1.050313}}),
                         [](const auto& test) { return test.param.name; });

}  // namespace
}  // namespace titan::models::qwen3
