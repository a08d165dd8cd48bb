#include "titan/parallel/data_parallel.h"

#include "titan/base/errors.h"
#include "titan/config/distributed.h"
#include "titan/config/training.h"
#include "titan/parallel/ddp.h"
#include "titan/parallel/dtype.h"
#include "titan/parallel/fsdp.h"
#include "titan/parallel/layout.h"
#include "titan/parallel/module_pattern.h"
#include "titan/tools/logging.h"

namespace titan::parallel {

namespace {

using config::ReshardAfterForward;
using mesh::MeshDim;

/// Whether units give their parameters back between forward and backward.
bool reshards(ReshardAfterForward policy, bool is_last, bool pipelined) {
  if (policy == ReshardAfterForward::kDefault) {
    // A pipeline's stage would gather them again for every microbatch.
    return !is_last && !pipelined;
  }
  return policy == ReshardAfterForward::kAlways;
}

void wrap_units(nn::Module& model, const UnitTable& units, Fsdp& fsdp, UnitOptions options,
                ReshardAfterForward policy, bool pipelined) {
  for (const UnitPattern& unit : units) {
    options.reshard_after_forward = reshards(policy, unit.is_last, pipelined);
    std::vector<nn::Module*> together;
    for (const std::string& pattern : unit.modules) {
      const auto modules = modules_matching(model, pattern);
      TITAN_CHECK(!modules.empty(), "no module fits '", pattern, "', a unit of FSDP");
      for (const auto& [name, module] : modules) {
        together.push_back(module);
        if (unit.modules.size() == 1) fsdp.wrap({module}, options);
      }
    }
    if (unit.modules.size() > 1) fsdp.wrap(together, options);
  }
  fsdp.wrap_root(options);
}

std::shared_ptr<Sharding> apply_fsdp(nn::Module& model, const UnitTable& units,
                                     const comm::RankContext& context,
                                     const config::Parallelism& parallelism,
                                     const config::Training& training) {
  FsdpOptions options;
  options.types.param_dtype = torch_dtype(training.mixed_precision_param);
  options.types.reduce_dtype = at::kFloat;  // the only one that mixed_precision_reduce knows
  options.device = context.device;
  options.keeps_buffers = context.kernels() == at::kCPU;
  const DataAxes axes = data_axes(/*of_experts=*/false);
  UnitOptions ranks;
  ranks.shard = &context.group(axes.shard);
  ranks.replicate = &context.group(axes.replicate);
  ranks.axis = axis_of(axes.shard);
  const auto fsdp = Fsdp::create(model, options);
  wrap_units(model, units, *fsdp, ranks, parallelism.fsdp_reshard_after_forward,
             context.dims.pp_enabled());
  tools::log_info("Applied ", context.dims.dp_replicate_enabled() ? "HSDP" : "FSDP",
                  " to the model");
  if (training.enable_cpu_offload) tools::log_info("Applied CPU Offloading to the model");
  return fsdp;
}

}  // namespace

std::shared_ptr<Sharding> apply_data_parallel(nn::Module& model, const UnitTable& units,
                                              const comm::RankContext& context,
                                              const config::Parallelism& parallelism,
                                              const config::Training& training) {
  const mesh::ParallelDims& dims = context.dims;
  if (dims.fsdp_enabled()) return apply_fsdp(model, units, context, parallelism, training);
  if (training.enable_cpu_offload) {
    throw ConfigError(
        "training.enable_cpu_offload: only sharded parameters can be kept in CPU memory; it needs "
        "data_parallel_shard_degree > 1");
  }
  if (!dims.dp_replicate_enabled()) return std::make_shared<Sharding>();
  const auto ddp = Ddp::apply(model, context.group(MeshDim::kDpReplicate));
  tools::log_info("Applied DDP to the model");
  return ddp;
}

}  // namespace titan::parallel
