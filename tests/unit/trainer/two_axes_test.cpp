// A model whose parameters two axes of the job have cut: what leaves the job is what leaves one rank.
#include <ATen/CPUGeneratorImpl.h>
#include <c10/core/GradMode.h>
#include <gtest/gtest.h>

#include "support/local_ranks.h"
#include "support/temporary_folder.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/dcp_load.h"
#include "titan/components/checkpoint/dcp_save.h"
#include "titan/components/checkpoint/stateful.h"
#include "titan/components/optimizer/optimizer.h"
#include "titan/components/weights/model_weights.h"
#include "titan/config/job_config.h"
#include "titan/models/llama3/model.h"
#include "titan/models/llama3/state_dict_adapter.h"
#include "titan/parallel/fsdp.h"
#include "titan/parallel/layout.h"
#include "trainer/hash_log.h"

namespace titan::trainer {
namespace {

using mesh::MeshDim;

models::llama3::TransformerModelArgs small_args() {
  models::llama3::TransformerModelArgs args;
  args.dim = 20;
  args.n_layers = 2;
  args.n_heads = 2;
  args.vocabulary = 30;
  args.multiple_of = 5;
  args.max_seq_len = 8;
  return args;
}

/// How a test's job cuts its matrices, outermost first.
struct Layout {
  mesh::Degrees degrees;
  std::int64_t ranks = 1;
  std::int64_t tensor_dim = 0;  // that tensor parallelism cuts
  std::int64_t shard_dim = 0;   // that FSDP cuts
};

const Layout kOne;
const Layout kRowsOfRows = {{1, 4, 1, 2}, 8, 0, 0};
const Layout kColumnsOfRows = {{1, 3, 1, 2}, 6, 0, 1};
const Layout kRowsOfColumns = {{1, 2, 1, 3}, 6, 1, 0};

protocols::ModelParts model_of(const Layout& layout, const comm::RankContext& context,
                               std::uint64_t seed) {
  auto model = std::make_unique<models::llama3::Transformer>(small_args(), at::kFloat);
  std::shared_ptr<parallel::Sharding> sharding = std::make_shared<parallel::Sharding>();
  if (context.world_size > 1) {
    for (const auto& [name, parameter] : model->named_parameters()) {
      if (parameter->tensor.dim() < 2) continue;  // norms stay whole
      parameter->cut({parallel::axis_of(MeshDim::kTp), layout.tensor_dim,
                      context.dims.size(MeshDim::kTp), context.group(MeshDim::kTp).rank()});
    }
    const auto fsdp = parallel::Fsdp::create(*model, {});
    parallel::UnitOptions unit;
    unit.shard = &context.group(MeshDim::kFsdp);
    unit.axis = parallel::axis_of(MeshDim::kFsdp);
    std::vector<nn::Module*> norms;
    for (const auto& [name, module] : model->named_modules()) {
      if (name.ends_with("norm")) norms.push_back(module);
    }
    fsdp->wrap(norms, unit);
    unit.cut_dim = layout.shard_dim;
    fsdp->wrap_root(unit);
    sharding = fsdp;
  }
  model->to_empty(at::kCPU);
  const c10::NoGradGuard no_grad;
  model->init_weights(at::make_generator<at::CPUGeneratorImpl>(seed), std::nullopt);
  protocols::ModelParts parts;
  parts.push_back({std::move(model), std::move(sharding)});
  return parts;
}

class TwoAxes : public ::testing::TestWithParam<Layout> {
 protected:
  void on_ranks(const Layout& layout, const std::function<void(const comm::RankContext&)>& body) {
    test::on_local_ranks(layout.degrees, layout.ranks, [&](comm::RankContext context) {
      if (layout.ranks > 1) context.host_group = &context.groups->world();
      body(context);
    });
  }

  std::string read(const std::string& path) {
    return base::read_whole_file(files_, folder_ / path, 1 << 24);
  }

  base::FileSystem& files_ = base::posix_file_system();
  test::TemporaryFolder folder_;
};

TEST_P(TwoAxes, HashesAreThoseOfOneRank) {
  const auto write = [&](const Layout& layout, const std::string& name) {
    on_ranks(layout, [&](const comm::RankContext& context) {
      HashLog(files_, folder_ / name, context, 0).write_weights(0, model_of(layout, context, 7));
    });
    return read(name + "/hashes.jsonl");
  };
  EXPECT_EQ(write(GetParam(), "two"), write(kOne, "one"));
}

TEST_P(TwoAxes, ExportsAreThoseOfOneRank) {
  const models::llama3::LlamaStateDictAdapter adapter(small_args());
  for (const auto& [name, layout] : {std::pair{"two", GetParam()}, std::pair{"one", kOne}}) {
    on_ranks(layout, [&](const comm::RankContext& context) {
      components::save_hf_weights(files_, folder_ / name, model_of(layout, context, 7), adapter,
                                  at::kFloat, context);
    });
  }
  EXPECT_EQ(read("two/model-00001-of-00001.safetensors"),
            read("one/model-00001-of-00001.safetensors"));
}

TEST_P(TwoAxes, CheckpointsLoadInEveryOtherLayout) {
  on_ranks(GetParam(), [&](const comm::RankContext& context) {
    const protocols::ModelParts parts = model_of(GetParam(), context, 7);
    const auto optimizers = components::build_optimizers(protocols::named_parameters(parts), {});
    for (const auto& [name, parameter] : protocols::named_parameters(parts)) {
      parameter->tensor.mutable_grad() = parameter->tensor.detach() * 3;
    }
    optimizers->step();
    components::FlatState state;
    components::model_state(parts)->add_to(state);
    components::optimizer_state(*optimizers, parts)->add_to(state);
    components::DcpSaver(files_, context.host_group).save(folder_ / "step-1", state);
  });
  for (const Layout& layout : {kOne, kRowsOfRows, kColumnsOfRows, kRowsOfColumns}) {
    on_ranks(layout, [&](const comm::RankContext& context) {
      const protocols::ModelParts parts = model_of(layout, context, 8);
      const auto optimizers = components::build_optimizers(protocols::named_parameters(parts), {});
      components::FlatState state;
      components::model_state(parts)->add_to(state);
      components::optimizer_state(*optimizers, parts)->add_to(state);
      const components::DcpCheckpoint checkpoint(files_, folder_ / "step-1");
      checkpoint.read(state.tensors, context.host_group);
      // What one rank would have made of it.
      const protocols::ModelParts expected = model_of(layout, context, 7);
      const auto stepped = components::build_optimizers(protocols::named_parameters(expected), {});
      for (const auto& [name, parameter] : protocols::named_parameters(expected)) {
        parameter->tensor.mutable_grad() = parameter->tensor.detach() * 3;
      }
      stepped->step();
      components::FlatState wanted;
      components::model_state(expected)->add_to(wanted);
      components::optimizer_state(*stepped, expected)->add_to(wanted);
      ASSERT_EQ(state.tensors.size(), wanted.tensors.size());
      for (std::size_t i = 0; i < wanted.tensors.size(); ++i) {
        EXPECT_TRUE(state.tensors[i].tensor.equal(wanted.tensors[i].tensor))
            << wanted.tensors[i].key();
      }
    });
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, TwoAxes,
                         ::testing::Values(kRowsOfRows, kColumnsOfRows, kRowsOfColumns));

}  // namespace
}  // namespace titan::trainer
