#include "config/graph_rules.h"

namespace titan::config {

void check_cuda_graphs(const Rules& rules) {
  const JobConfig& config = rules.config;
  if (!config.compile.cuda_graphs) return;
  if (rules.world_size != 1) {
    rules.broken({"compile.cuda_graphs"},
                 "compile.cuda_graphs is for one rank, and the world size is ", rules.world_size,
                 ": of several, what is sent and gathered would have to lie in the graph");
  }
  if (config.training.device == Device::kCpu) {
    rules.broken({"training.device", "compile.cuda_graphs"},
                 "compile.cuda_graphs: graphs are a GPU's, and training.device is \"cpu\"");
  }
  const ActivationCheckpoint& recompute = config.activation_checkpoint;
  if (recompute.mode != ActivationCheckpointMode::kNone && recompute.preserve_rng_state) {
    rules.broken({"activation_checkpoint.preserve_rng_state", "compile.cuda_graphs"},
                 "compile.cuda_graphs: activation_checkpoint.preserve_rng_state asks for the state "
                 "of the GPU's random numbers, which nobody may during a capture. Nothing in a "
                 "step is random: set it to false");
  }
  if (config.optimizer.early_step_in_backward) {
    rules.broken({"optimizer.early_step_in_backward", "compile.cuda_graphs"},
                 "compile.cuda_graphs: with optimizer.early_step_in_backward the optimizer would "
                 "lie in the graph, with the learning rate of the step that was captured");
  }
  if (!config.model.converters.empty()) {
    rules.broken({"model.converters", "compile.cuda_graphs"},
                 "compile.cuda_graphs: products of model.converters are not captured, because "
                 "nobody has shown yet that their replays have the same bits");
  }
  if (config.data.document_mask) {
    rules.broken({"data.document_mask", "compile.cuda_graphs"},
                 "compile.cuda_graphs: with data.document_mask every batch has documents of other "
                 "lengths, and a graph has those of the one that was captured");
  }
}

}  // namespace titan::config
