#include "trainer/job_checkpoints.h"

#include <filesystem>
#include <utility>
#include <vector>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"
#include "titan/components/checkpoint/stateful.h"
#include "titan/components/weights/dequantized_weights.h"
#include "titan/components/weights/model_weights.h"
#include "titan/components/weights/open_weights.h"
#include "titan/config/print.h"
#include "titan/parallel/dtype.h"
#include "titan/tools/logging.h"
#include "trainer/validation_position.h"

namespace titan::trainer {

namespace {

components::DataReader reader_of(const CheckpointedJob& job, protocols::DataLoader& loader,
                                 std::int64_t batch_rows) {
  components::DataReader reader{loader};
  reader.rank = job.context.dims.coordinate(mesh::MeshDim::kBatch, job.context.rank);
  reader.ranks = job.context.dims.size(mesh::MeshDim::kBatch);
  reader.batch_rows = batch_rows;
  if (job.tokenizer != nullptr) reader.bos_id = job.tokenizer->bos_id();
  return reader;
}

std::vector<std::unique_ptr<components::Stateful>> states_of(const CheckpointedJob& job) {
  const components::DataReader reader =
      reader_of(job, job.dataloader, job.config.training.local_batch_size);
  std::vector<std::unique_ptr<components::Stateful>> states;
  states.push_back(components::model_state(job.model_parts));
  states.push_back(components::optimizer_state(job.optimizers, job.model_parts));
  states.push_back(components::lr_scheduler_state(job.lr_schedulers, job.optimizers));
  states.push_back(components::dataloader_state(reader));
  states.push_back(components::train_state(job.step, job.tokens_seen, reader.ranks));
  if (job.validation != nullptr) {
    states.push_back(components::validation_state(
        reader_of(job, job.validation->data(), job.config.validation.local_batch_size),
        job.validation->progress()));
  }
  states.push_back(components::rng_state(job.context.generator, job.context.rank));
  states.push_back(components::job_config_state(config::values_by_option(job.config)));
  return states;
}

/// Both formats of a model's weights, where it has an adapter.
void add_hugging_face(const CheckpointedJob& job, base::FileSystem& files,
                      components::CheckpointerSetup& setup) {
  const std::shared_ptr<const protocols::StateDictAdapter> adapter =
      job.spec.build_state_dict_adapter(job.model_args, job.config.model.hf_assets_path);
  const bool is_quantized = job.config.checkpoint.initial_load_in_hf_quantized;
  setup.load_hf = [&files, &parts = job.model_parts, adapter,
                   is_quantized](const std::string& folder) {
    components::check_hf_config(files, folder, *adapter);
    const auto stored = components::open_weights(files, components::WeightsFormat::kHf, folder);
    const std::optional<std::string> float8 = components::first_in_float8(*stored);
    if (float8 && !is_quantized) {
      throw ConfigError(concat("checkpoint.initial_load_in_hf: '", *float8, "' in '", folder,
                               "' is float8; set checkpoint.initial_load_in_hf_quantized = true"));
    }
    const auto dequantized = is_quantized ? components::as_dequantized_weights(*stored) : nullptr;
    for (const protocols::ModelPart& part : parts) {
      components::load_model_weights(*part.model, dequantized ? *dequantized : *stored,
                                     adapter.get());
    }
  };
  const at::ScalarType dtype = parallel::torch_dtype(job.config.checkpoint.export_dtype);
  setup.save_hf = [&files, &parts = job.model_parts, adapter, dtype,
                   &context = job.context](const std::string& folder) {
    components::save_hf_weights(files, folder, parts, *adapter, dtype, context);
  };
}

}  // namespace

std::unique_ptr<components::Checkpointer> make_checkpointer(const CheckpointedJob& job) {
  const config::Checkpoint& checkpoint = job.config.checkpoint;
  if (!checkpoint.enable) return nullptr;
  if (job.config.comm.mode == config::CommMode::kFakeBackend) {
    tools::log_info(
        "Checkpoints are neither loaded nor saved: most ranks of this job are pretended.");
    return nullptr;
  }
  base::FileSystem& files = base::posix_file_system();
  const std::filesystem::path dump_folder = job.config.job.dump_folder;
  components::CheckpointerSetup setup{files, checkpoint};
  setup.folder = (dump_folder / checkpoint.folder).string();
  setup.last_step = job.config.training.steps;
  setup.hf_assets_path = job.config.model.hf_assets_path;
  setup.ranks = job.context.host_group;
  setup.rank = job.context.rank;
  if (job.spec.build_state_dict_adapter) add_hugging_face(job, files, setup);
  return std::make_unique<components::Checkpointer>(std::move(setup), states_of(job));
}

}  // namespace titan::trainer
