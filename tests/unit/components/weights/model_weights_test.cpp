#include "titan/components/weights/model_weights.h"
#include "titan/components/weights/open_weights.h"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cerrno>
#include <filesystem>
#include <map>

#include "support/faulty_file_system.h"
#include "support/local_ranks.h"
#include "support/temporary_folder.h"
#include "support/throws.h"
#include "titan/base/errors.h"
#include "titan/components/weights/adapted_weights.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/models/llama3/state_dict_adapter.h"
#include "titan/parallel/data_parallel.h"
#include "titan/parallel/layout.h"

namespace titan::components {
namespace {

using models::llama3::LlamaStateDictAdapter;
using models::llama3::Transformer;
using models::llama3::TransformerModelArgs;
using ::testing::AllOf;
using ::testing::HasSubstr;

base::FileSystem& disk() { return base::posix_file_system(); }

TransformerModelArgs llama_args() {
  TransformerModelArgs args;
  args.dim = 24;
  args.n_layers = 2;
  args.n_heads = 4;  // of 6 rows: ranks get parts of heads
  args.n_kv_heads = 2;
  args.vocabulary = 50;
  args.multiple_of = 4;
  args.max_seq_len = 8;
  return args;
}

protocols::ModelParts llama(const comm::RankContext& context, std::uint64_t seed) {
  auto model = std::make_unique<Transformer>(llama_args(), at::kFloat);
  config::Training training;
  training.mixed_precision_param = config::DType::kFloat32;
  auto sharding = parallel::apply_data_parallel(*model, {{{"layers.*"}}}, context,
                                                config::Parallelism{}, training);
  model->to_empty(at::kCPU);
  const c10::NoGradGuard no_grad;
  model->init_weights(at::make_generator<at::CPUGeneratorImpl>(seed), std::nullopt);
  protocols::ModelParts parts;
  parts.push_back({std::move(model), std::move(sharding)});
  return parts;
}

using Tensors = std::map<std::string, at::Tensor>;

Tensors full_tensors(const protocols::ModelParts& parts, const comm::RankContext& context) {
  Tensors result;
  for (const auto& [name, parameter] : protocols::named_parameters(parts)) {
    result[name] = parallel::full_tensor(parameter->tensor, *parameter, context).clone();
  }
  return result;
}

/// As rank of a job; all meet on the world's group, which is one of the CPU here.
void save(base::FileSystem& files, const std::string& folder, at::ScalarType dtype,
          comm::RankContext context) {
  context.host_group = &context.groups->world();
  const auto model = llama(context, 7);
  save_hf_weights(files, folder, model, LlamaStateDictAdapter(llama_args()), dtype, context);
}

std::vector<std::string> weights_in(const std::string& folder) {
  std::vector<std::string> names;
  if (disk().exists(folder)) names = disk().list_directory(folder);
  std::erase(names, "config.json");
  return names;
}

void save(const std::string& folder, std::int64_t ranks, at::ScalarType dtype) {
  test::on_local_ranks(
      {}, ranks, [&](const comm::RankContext& context) { save(disk(), folder, dtype, context); });
}

/// Loads on a number of ranks and holds every tensor against the model that was saved.
void load_and_compare(const std::string& folder, std::int64_t ranks, at::ScalarType saved_as) {
  test::on_local_ranks({}, ranks, [&](const comm::RankContext& context) {
    const auto original = llama(context, 7);
    const auto model = llama(context, 8);
    const auto weights = open_weights(disk(), WeightsFormat::kHf, folder);
    const LlamaStateDictAdapter adapter(llama_args());
    load_model_weights(*model.front().model, *weights, &adapter);
    const Tensors expected = full_tensors(original, context);
    for (const auto& [name, tensor] : full_tensors(model, context)) {
      EXPECT_TRUE(tensor.equal(expected.at(name).to(saved_as).to(at::kFloat))) << name;
    }
  });
}

TEST(ModelWeights, SavedOnSomeRanksTheyLoadOnOthers) {
  const test::TemporaryFolder folder;
  save(folder / "4", 4, at::kFloat);
  save(folder / "1", 1, at::kBFloat16);
  for (const std::int64_t ranks : {1, 2, 5}) load_and_compare(folder / "4", ranks, at::kFloat);
  load_and_compare(folder / "1", 3, at::kBFloat16);
}

/// A disk that is full in the middle, or when all but the index is written.
TEST(ModelWeights, ASaveThatFailsLeavesNoFolder) {
  const test::TemporaryFolder folder;
  for (const std::int64_t ranks : {1, 2}) {
    for (int call = 1;; ++call) {
      bool failed = false;
      test::on_local_ranks({}, ranks, [&](const comm::RankContext& context) {
        test::FaultyFileSystem files;
        if (context.rank == 0) files.fail_call(call, ENOSPC);
        try {
          save(files, folder / "step-3", at::kFloat, context);
        } catch (const RunError&) {
          if (context.rank == 0) failed = true;
        }
      });
      if (!failed) {
        EXPECT_GT(call, 8);
        break;
      }
      EXPECT_FALSE(disk().exists(folder / "step-3/model.safetensors.index.json")) << call;
      EXPECT_THAT(weights_in(folder / "step-3"), testing::IsEmpty()) << ranks << ", " << call;
    }
    std::filesystem::remove_all(folder / "step-3");
  }
}

/// Every number of ranks writes the same bytes.
TEST(ModelWeights, TheFilesDoNotDependOnTheRanks) {
  const test::TemporaryFolder folder;
  save(folder / "1", 1, at::kHalf);
  save(folder / "3", 3, at::kHalf);
  for (const std::string& name : disk().list_directory(folder / "1")) {
    EXPECT_EQ(base::read_whole_file(disk(), folder / ("1/" + name), 1 << 24),
              base::read_whole_file(disk(), folder / ("3/" + name), 1 << 24))
        << name;
  }
  EXPECT_TRUE(disk().exists(folder / "1/config.json"));
}

TEST(ModelWeights, ASaveReplacesWhatAnEarlierOneLeft) {
  const test::TemporaryFolder folder;
  disk().create_directories(folder / "hf");
  for (const char* name :
       {"model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors.tmp",
        "model.safetensors.index.json", "tokenizer.json"}) {
    base::write_file_atomically(disk(), folder / (std::string("hf/") + name), "cut off");
  }
  save(folder / "hf", 2, at::kFloat);
  load_and_compare(folder / "hf", 2, at::kFloat);
  EXPECT_THAT(disk().list_directory(folder / "hf"),
              ::testing::ElementsAre("config.json", "model-00001-of-00001.safetensors",
                                     "model.safetensors.index.json", "tokenizer.json"));
}

TEST(ModelWeights, AFailureOnOneRankIsAFailureOnAll) {
  const test::TemporaryFolder folder;
  std::atomic<int> failures = 0;
  test::on_local_ranks({}, 3, [&](const comm::RankContext& context) {
    test::FaultyFileSystem broken;
    if (context.rank == 0) broken.leave_space(10000);
    const std::string why =
        test::message_of<RunError>([&] { save(broken, folder / "hf", at::kFloat, context); });
    EXPECT_THAT(why, AllOf(HasSubstr("rank 0"), HasSubstr("No space left")));
    ++failures;
  });
  EXPECT_EQ(failures, 3);
  EXPECT_FALSE(disk().exists(folder / "hf"));
}

/// Row 2j + p of a head of ours is row p·(head_dim / 2) + j of theirs.
TEST(LlamaAdapter, ReordersTheRowsOfHeads) {
  const LlamaStateDictAdapter adapter(llama_args());
  const at::Tensor ours = at::arange(24 * 24, at::kFloat).view({24, 24});
  const at::Tensor theirs = adapter.to_hf("model.layers.1.self_attn.q_proj.weight", {ours});
  for (std::int64_t head = 0; head < 4; ++head) {
    for (std::int64_t p = 0; p < 2; ++p) {
      for (std::int64_t j = 0; j < 3; ++j) {
        EXPECT_TRUE(theirs[head * 6 + p * 3 + j].equal(ours[head * 6 + 2 * j + p]));
      }
    }
  }
  const protocols::TensorSlice middle{"layers.1.attention.wq.weight", {7, 2}, {6, 20}};
  const auto slices = adapter.hf_slices(middle);
  EXPECT_EQ(slices.at(0).offsets, (std::vector<std::int64_t>{6, 2}));
  EXPECT_EQ(slices.at(0).sizes, (std::vector<std::int64_t>{12, 20}));
  const at::Tensor slice = theirs.narrow(0, 6, 12).narrow(1, 2, 20);
  EXPECT_TRUE(adapter.from_hf(middle, {slice}).equal(ours.narrow(0, 7, 6).narrow(1, 2, 20)));
  EXPECT_TRUE(adapter.to_hf("model.layers.1.self_attn.v_proj.weight", {ours}).is_same(ours));
}

class NamedWeights final : public WeightsReader {
 public:
  explicit NamedWeights(std::vector<WeightInfo> tensors) : tensors_(std::move(tensors)) {}
  const std::vector<WeightInfo>& tensors() const override { return tensors_; }
  void read(const std::string&, const std::vector<std::int64_t>&,
            const at::Tensor& box) const override {
    box.fill_(1);
  }

 private:
  std::vector<WeightInfo> tensors_;
};

std::vector<WeightInfo> hf_infos() {
  Transformer model(llama_args(), at::kFloat);
  std::vector<WeightInfo> infos;
  for (const auto& tensor : LlamaStateDictAdapter(llama_args()).hf_tensors(model_tensors(model))) {
    infos.push_back({tensor.name, at::kFloat, tensor.sizes});
  }
  return infos;
}

TEST(LlamaAdapter, NamesAllThatDoesNotFit) {
  const LlamaStateDictAdapter adapter(llama_args());
  Transformer model(llama_args(), at::kFloat);
  std::vector<WeightInfo> infos = hf_infos();
  infos[1].name += ".bias";
  infos[5].sizes[0] += 1;
  infos.push_back({"model.layers.1.self_attn.rotary_emb.inv_freq", at::kFloat, {3}});
  infos.push_back({"model.layers.7.mlp.up_proj.weight", at::kFloat, {3}});
  const NamedWeights weights(infos);
  const std::string why =
      test::message_of<RunError>([&] { load_model_weights(model, weights, &adapter); });
  EXPECT_THAT(why, AllOf(HasSubstr("missing: " + hf_infos()[1].name), HasSubstr(infos[1].name),
                         HasSubstr("model.layers.7.mlp.up_proj.weight"),
                         HasSubstr(infos[5].name + " (["), ::testing::Not(HasSubstr("inv_freq"))));

  const std::string ours = test::message_of<RunError>([&] { load_model_weights(model, weights); });
  EXPECT_THAT(ours, AllOf(HasSubstr("missing: tok_embeddings.weight"), HasSubstr("lm_head")));
}

TEST(LlamaAdapter, WithoutAHeadTheEmbeddingIsTheHead) {
  const LlamaStateDictAdapter adapter(llama_args());
  Transformer model(llama_args(), at::kFloat);
  std::vector<WeightInfo> infos = hf_infos();
  std::erase_if(infos, [](const WeightInfo& info) { return info.name == "lm_head.weight"; });
  const NamedWeights weights(infos);
  const auto ours = as_model_weights(weights, adapter, model_tensors(model));
  const at::Tensor box = at::zeros({3, 24});
  ours->read("output.weight", {0, 0}, box);
  EXPECT_EQ(box.sum().item<double>(), 72);

  const auto theirs = as_hf_weights(*ours, adapter);
  EXPECT_EQ(theirs->tensors().size(), hf_infos().size());
}

TEST(LlamaAdapter, ComparesConfigs) {
  const LlamaStateDictAdapter adapter(llama_args());
  const auto own = adapter.compare_config(adapter.hf_config("bfloat16", false));
  EXPECT_THAT(own.errors, ::testing::IsEmpty());
  EXPECT_THAT(own.warnings, ::testing::IsEmpty());

  const auto other = adapter.compare_config(
      R"({"hidden_size": 24, "num_attention_heads": 8, "head_dim": 3, "attention_bias": true,
          "rope_parameters": {"rope_theta": 500000.0, "rope_type": "llama3", "factor": 32.0}})");
  EXPECT_THAT(other.errors,
              ::testing::ElementsAre(HasSubstr("num_attention_heads is 8, in this model 4"),
                                     HasSubstr("num_key_value_heads"), HasSubstr("head_dim is 3"),
                                     HasSubstr("attention_bias")));
  EXPECT_THAT(other.warnings, ::testing::ElementsAre(HasSubstr("rms_norm_eps is 1e-06 (not said)"),
                                                     HasSubstr("rope_theta is 500000"),
                                                     HasSubstr("factor is 32, in this model 8")));
  EXPECT_THAT(adapter.compare_config(R"({"rope_scaling": null})").warnings,
              ::testing::Contains(HasSubstr("the rope scaling is \"default\"")));
  EXPECT_THROW(adapter.compare_config("[]"), RunError);
  EXPECT_THROW(adapter.compare_config(std::string(100000, '[')), RunError);
}

}  // namespace
}  // namespace titan::components
