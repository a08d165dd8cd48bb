#include "titan/parallel/data_parallel.h"

#include "titan/base/errors.h"
#include "titan/config/distributed.h"
#include "titan/config/training.h"
#include "titan/parallel/ddp.h"
#include "titan/parallel/dtype.h"
#include "titan/parallel/fsdp.h"
#include "titan/tools/logging.h"

namespace titan::parallel {

namespace {

using config::ReshardAfterForward;
using mesh::MeshDim;

nn::Module* child(nn::Module& model, const std::string& wanted) {
  for (const auto& [name, module] : model.named_children()) {
    if (name == wanted) return module;
  }
  return nullptr;
}

/// Whether blocks give their parameters back between forward and backward.
bool reshards(ReshardAfterForward policy, bool pipelined) {
  // A pipeline's stage would gather them again for every microbatch.
  return policy == ReshardAfterForward::kDefault ? !pipelined
                                                 : policy == ReshardAfterForward::kAlways;
}

void wrap_language_model(nn::Module& model, Fsdp& fsdp, bool reshard, bool reshard_last) {
  if (nn::Module* embeddings = child(model, "tok_embeddings")) fsdp.wrap({embeddings}, reshard);
  if (nn::Module* layers = child(model, "layers")) {
    for (const auto& [name, layer] : layers->named_children()) fsdp.wrap({layer}, reshard);
  }
  nn::Module* norm = child(model, "norm");
  nn::Module* output = child(model, "output");
  // Backward begins with them, so that they stay.
  if (norm != nullptr && output != nullptr) fsdp.wrap({norm, output}, reshard_last);
  fsdp.wrap_root();
}

}  // namespace

GradientSync apply_data_parallel(nn::Module& model, const comm::RankContext& context,
                                 const config::Parallelism& parallelism,
                                 const config::Training& training) {
  const mesh::ParallelDims& dims = context.dims;
  comm::ProcessGroup& replicate = context.group(MeshDim::kDpReplicate);
  if (dims.fsdp_enabled()) {
    FsdpOptions options;
    options.shard = &context.group(MeshDim::kFsdp);
    options.replicate = replicate.size() > 1 ? &replicate : nullptr;
    options.param_dtype = torch_dtype(training.mixed_precision_param);
    options.reduce_dtype = at::kFloat;  // the only one that mixed_precision_reduce knows
    options.device = context.device;
    const auto fsdp = Fsdp::create(model, options);
    const ReshardAfterForward policy = parallelism.fsdp_reshard_after_forward;
    wrap_language_model(model, *fsdp, reshards(policy, dims.pp_enabled()),
                        policy == ReshardAfterForward::kAlways);
    tools::log_info("Applied ", replicate.size() > 1 ? "HSDP" : "FSDP", " to the model");
    if (training.enable_cpu_offload) tools::log_info("Applied CPU Offloading to the model");
    return [fsdp](bool sync) { fsdp->set_requires_gradient_sync(sync); };
  }
  if (training.enable_cpu_offload) {
    throw ConfigError(
        "training.enable_cpu_offload: only sharded parameters can be kept in CPU memory; it needs "
        "data_parallel_shard_degree > 1");
  }
  if (replicate.size() == 1) return nullptr;
  if (dims.world_size() != dims.degrees().dp_replicate) {
    throw ConfigError(
        "parallelism.data_parallel_replicate_degree: replicas together with tensor or pipeline "
        "parallelism need data_parallel_shard_degree > 1");
  }
  const auto ddp = Ddp::apply(model, replicate);
  tools::log_info("Applied DDP to the model");
  return [ddp](bool sync) { ddp->set_requires_gradient_sync(sync); };
}

}  // namespace titan::parallel
