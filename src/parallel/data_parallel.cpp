#include "titan/parallel/data_parallel.h"

#include <algorithm>
#include <map>

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

/// Which ranks parameters are cut over.
UnitOptions ranks_of(const comm::RankContext& context, bool of_experts) {
  const DataAxes axes = data_axes(of_experts);
  UnitOptions ranks;
  ranks.shard = &context.group(axes.shard);
  ranks.replicate = &context.group(axes.replicate);
  ranks.axis = axis_of(axes.shard);
  return ranks;
}

/// Experts are cut among themselves as long as there are enough of them for every rank, then within.
std::int64_t cut_dim_of(const nn::Module& experts, const mesh::ParallelDims& dims) {
  const std::vector<nn::NamedParameter> parameters = experts.parameter_names();
  const std::int64_t ranks = dims.size(MeshDim::kEfsdp) * dims.size(MeshDim::kEp);
  return ranks > parameters.at(0).parameter->full_sizes.at(0) ? 1 : 0;
}

/// A unit of a model with experts on several ranks, in the model's order.
struct Ordered {
  FsdpUnit* unit;
  FsdpUnit* experts;  // those within; null: none
  bool is_block;      // of the kind that may have experts
};

/// As the reference has it where experts are on several ranks: the host waits in every mixture, so what is ahead is asked for a whole
/// block ahead. A block asks for the next one and its experts; who is no block, for the next one; experts for nothing.
void order_prefetches(const std::vector<Ordered>& units) {
  const auto fetched_by = [](const Ordered& asking, const Ordered& next) {
    std::vector<FsdpUnit*> result = {next.unit};
    if (asking.is_block && next.experts != nullptr) result.push_back(next.experts);
    return result;
  };
  for (std::size_t i = 0; i < units.size(); ++i) {
    if (i + 1 < units.size()) {
      units[i].unit->set_forward_prefetch(fetched_by(units[i], units[i + 1]));
      units[i + 1].unit->set_backward_prefetch(fetched_by(units[i + 1], units[i]));
    }
    if (units[i].experts == nullptr) continue;
    units[i].experts->set_forward_prefetch({});
    units[i].experts->set_backward_prefetch({});
  }
}

/// Whether modules of `inner` are within those of `outer`, both patterns.
bool is_within(const std::string& inner, const std::string& outer) {
  return inner.starts_with(outer + ".");
}

void wrap_units(nn::Module& model, const UnitTable& units, Fsdp& fsdp,
                const comm::RankContext& context, ReshardAfterForward policy) {
  const bool pipelined = context.dims.pp_enabled();
  std::map<std::string, FsdpUnit*> experts;  // by name
  std::vector<Ordered> ordered;
  const auto experts_of = [&](const std::string& block) -> FsdpUnit* {
    const auto found = std::ranges::find_if(
        experts, [&](const auto& named) { return is_within(named.first, block); });
    return found == experts.end() ? nullptr : found->second;
  };
  for (const UnitPattern& unit : units) {
    if (unit.of_experts && !context.dims.ep_enabled()) continue;
    UnitOptions options = ranks_of(context, unit.of_experts);
    options.reshard_after_forward = reshards(policy, unit.is_last, pipelined);
    const bool is_block = std::ranges::any_of(units, [&](const UnitPattern& other) {
      return other.of_experts && is_within(other.modules.front(), unit.modules.front());
    });
    std::vector<nn::Module*> together;
    for (const std::string& pattern : unit.modules) {
      const auto modules = modules_matching(model, pattern);
      TITAN_CHECK(!modules.empty(), "no module fits '", pattern, "', a unit of FSDP");
      for (const auto& [name, module] : modules) {
        together.push_back(module);
        if (unit.of_experts) options.cut_dim = cut_dim_of(*module, context.dims);
        if (unit.modules.size() > 1) continue;
        FsdpUnit* wrapped = fsdp.wrap({module}, options);
        if (wrapped == nullptr) continue;
        if (unit.of_experts) {
          experts[name] = wrapped;
        } else {
          ordered.push_back({wrapped, experts_of(name), is_block});
        }
      }
    }
    if (unit.modules.size() == 1) continue;
    if (FsdpUnit* wrapped = fsdp.wrap(together, options)) {
      ordered.push_back({wrapped, nullptr, is_block});
    }
  }
  fsdp.wrap_root(ranks_of(context, /*of_experts=*/false));
  if (!experts.empty()) order_prefetches(ordered);
}

std::shared_ptr<Sharding> apply_fsdp(nn::Module& model, const UnitTable& units,
                                     const comm::RankContext& context,
                                     const config::Parallelism& parallelism,
                                     const config::Training& training) {
  FsdpOptions options;
  // As step/precision.h has it: half types come with sharded parameters of the whole model.
  if (context.dims.fsdp_enabled()) {
    options.types.param_dtype = torch_dtype(training.mixed_precision_param);
  }
  options.types.reduce_dtype = at::kFloat;  // the only one that mixed_precision_reduce knows
  options.device = context.device;
  options.keeps_buffers = context.kernels() == at::kCPU;
  const auto fsdp = Fsdp::create(model, options);
  wrap_units(model, units, *fsdp, context, parallelism.fsdp_reshard_after_forward);
  tools::log_info("Applied ", context.dims.dp_replicate_enabled() ? "HSDP" : "FSDP",
                  " to the model");
  if (training.enable_cpu_offload) tools::log_info("Applied CPU Offloading to the model");
  return fsdp;
}

bool shards_experts(const mesh::ParallelDims& dims) {
  return dims.ep_enabled() && dims.size(MeshDim::kEfsdp) > 1;
}

}  // namespace

std::shared_ptr<Sharding> apply_data_parallel(nn::Module& model, const UnitTable& units,
                                              const comm::RankContext& context,
                                              const config::Parallelism& parallelism,
                                              const config::Training& training) {
  const mesh::ParallelDims& dims = context.dims;
  // Ranks that differ in their tokens only by tensor parallelism may have the same experts, too.
  if (dims.fsdp_enabled() || shards_experts(dims))
    return apply_fsdp(model, units, context, parallelism, training);
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
