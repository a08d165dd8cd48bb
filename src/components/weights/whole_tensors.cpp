#include "titan/components/weights/whole_tensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/full.h>

#include "titan/base/errors.h"
#include "titan/comm/rank_context.h"
#include "titan/nn/module.h"
#include "titan/parallel/layout.h"

namespace titan::components {

WholeTensors::WholeTensors(const protocols::ModelParts& parts, const comm::RankContext& context)
    : context_(context) {
  const auto add = [&](const std::string& name, const Source& source) {
    Source& known = sources_[name];
    if (!known.here) known = source;
  };
  for (const protocols::ModelPart& part : parts) {
    for (const auto& [name, parameter] : part.model->parameter_names()) {
      add(name, {parameter, parameter->tensor, parameter->here});
    }
    for (const nn::NamedTensor& buffer : part.model->persistent_buffers()) {
      add(buffer.name, {nullptr, buffer.tensor, buffer.here});
    }
  }
  if (context.dims.pp_enabled()) find_owners();
}

void WholeTensors::find_owners() {
  comm::ProcessGroup& pipeline = context_.group(mesh::MeshDim::kPp);
  const auto count = static_cast<std::int64_t>(sources_.size());
  at::Tensor owners = at::full({count}, -1, at::kLong);
  std::int64_t next = 0;
  for (const auto& [name, source] : sources_) {
    if (source.here) owners.mutable_data_ptr<std::int64_t>()[next] = pipeline.rank();
    ++next;
  }
  owners = owners.to(context_.device);
  pipeline.all_reduce(owners, comm::ReduceOp::kMax).wait();
  owners = owners.cpu();
  next = 0;
  for (auto& [name, source] : sources_) {
    source.owner = owners.const_data_ptr<std::int64_t>()[next++];
    TITAN_CHECK(source.owner >= 0, "no pipeline stage has '", name, "'");
  }
}

at::Tensor WholeTensors::gather(const std::string& name) const {
  const auto found = sources_.find(name);
  TITAN_CHECK(found != sources_.end(), "the model has no '", name, "'");
  const Source& source = found->second;
  const bool is_owner =
      !context_.dims.pp_enabled() || context_.group(mesh::MeshDim::kPp).rank() == source.owner;
  at::Tensor whole;
  if (is_owner) {
    whole = source.parameter != nullptr
                ? parallel::full_tensor(source.tensor, *source.parameter, context_)
                : source.tensor;
  }
  if (!context_.dims.pp_enabled()) return whole;
  const at::IntArrayRef sizes = source.parameter != nullptr
                                    ? at::IntArrayRef(source.parameter->full_sizes)
                                    : source.tensor.sizes();
  whole = is_owner
              ? whole.detach().to(context_.device).contiguous()
              : at::empty(
                    sizes,
                    at::TensorOptions().dtype(source.tensor.scalar_type()).device(context_.device));
  context_.group(mesh::MeshDim::kPp).broadcast(whole, source.owner).wait();
  return whole;
}

}  // namespace titan::components
