#include "titan/parallel/fsdp.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "parallel/buffer_pool.h"
#include "parallel/fsdp_unit.h"
#include "titan/autograd/backward_hooks.h"
#include "titan/base/errors.h"

namespace titan::parallel {

namespace {

/// The parameters below these modules that are not sharded yet; all places of a tied one together.
std::vector<std::vector<nn::Parameter*>> unsharded_parameters(
    const std::vector<nn::Module*>& modules) {
  std::vector<std::vector<nn::Parameter*>> result;
  std::unordered_map<const void*, std::size_t> index;  // by tensor
  for (nn::Module* module : modules) {
    for (const auto& [name, place] : module->parameter_slots()) {
      if (place->box) continue;
      const auto [known, fresh] =
          index.try_emplace(place->tensor.unsafeGetTensorImpl(), result.size());
      if (fresh) result.emplace_back();
      result[known->second].push_back(place);
    }
  }
  return result;
}

/// Leaves out the parameters that modules elsewhere below `root` share.
void keep_own(std::vector<std::vector<nn::Parameter*>>& parameters, nn::Module& root) {
  std::unordered_map<const void*, std::size_t> places;  // by tensor
  for (const auto& [name, place] : root.parameter_slots()) {
    ++places[place->tensor.unsafeGetTensorImpl()];
  }
  std::erase_if(parameters, [&](const std::vector<nn::Parameter*>& own) {
    return own.size() < places[own.front()->tensor.unsafeGetTensorImpl()];
  });
}

void cast(nn::Tensors& tensors, at::ScalarType dtype) {
  for (at::Tensor& tensor : tensors) {
    if (tensor.defined() && tensor.is_floating_point()) tensor = tensor.to(dtype);
  }
}

}  // namespace

std::shared_ptr<Fsdp> Fsdp::create(nn::Module& root, const FsdpOptions& options) {
  TITAN_CHECK(options.shard != nullptr, "FSDP needs a group to shard over");
  return std::shared_ptr<Fsdp>(new Fsdp(root, options));
}

Fsdp::Fsdp(nn::Module& root, const FsdpOptions& options)
    : root_(root), options_(options), pool_(std::make_unique<BufferPool>(options.device)) {}

Fsdp::~Fsdp() = default;

void Fsdp::wrap(const std::vector<nn::Module*>& modules, bool reshard_after_forward) {
  add_unit(modules, reshard_after_forward);
}

void Fsdp::wrap_root() { add_unit({&root_}, /*reshard_after_forward=*/false); }

void Fsdp::add_unit(const std::vector<nn::Module*>& modules, bool reshard_after_forward) {
  auto parameters = unsharded_parameters(modules);
  keep_own(parameters, root_);
  if (parameters.empty()) return;
  const std::size_t index = units_.size();
  units_.push_back(
      std::make_unique<FsdpUnit>(std::move(parameters), options_, reshard_after_forward));
  const auto self = shared_from_this();
  modules.front()->add_pre_forward_hook(
      [self, index](nn::Module&, nn::Tensors& inputs) { self->before_forward(index, inputs); });
  modules.back()->add_post_forward_hook(
      [self, index](nn::Module&, const nn::Tensors&, nn::Tensors& outputs) {
        self->after_forward(index, outputs);
      });
}

void Fsdp::before_forward(std::size_t unit, nn::Tensors& inputs) {
  units_[unit]->start_unshard(*pool_);
  units_[unit]->finish_unshard(*pool_);
  if (options_.param_dtype) cast(inputs, *options_.param_dtype);
  if (in_backward_) return;  // recomputed: the graph and its hooks are those of the first time
  if (unit + 1 < units_.size()) units_[unit + 1]->start_unshard(*pool_);
  note_unsharded_bytes();
  autograd::after_backward(inputs, [self = weak_from_this(), unit] {
    if (const auto fsdp = self.lock()) fsdp->finish_backward(unit);
  });
}

void Fsdp::after_forward(std::size_t unit, nn::Tensors& outputs) {
  if (in_backward_) return;
  const bool trains = c10::GradMode::is_enabled();
  if (units_[unit]->reshards_after_forward() || !trains) units_[unit]->reshard(*pool_);
  if (!trains) return;
  autograd::before_backward(outputs, [self = weak_from_this(), unit] {
    if (const auto fsdp = self.lock()) fsdp->start_backward(unit);
  });
}

void Fsdp::start_backward(std::size_t unit) {
  if (!std::exchange(in_backward_, true)) {
    autograd::at_end_of_backward([self = shared_from_this()] { self->end_backward(); });
  }
  units_[unit]->start_unshard(*pool_);
  units_[unit]->finish_unshard(*pool_);
  if (unit > 0) units_[unit - 1]->start_unshard(*pool_);
  note_unsharded_bytes();
}

void Fsdp::finish_backward(std::size_t unit) {
  if (sync_) {
    settle_reductions(1);
    if (units_[unit]->start_reduce(*pool_)) reducing_.push_back(unit);
  }
  units_[unit]->reshard(*pool_);
}

void Fsdp::settle_reductions(std::size_t still_running) {
  // The youngest has had a whole unit's time for its reduce-scatter, the one before for its all-reduce.
  if (!reducing_.empty()) units_[reducing_.back()]->continue_reduce(*pool_);
  while (reducing_.size() > still_running) {
    units_[reducing_.front()]->finish_reduce();
    reducing_.erase(reducing_.begin());
  }
}

void Fsdp::end_backward() {
  // Units whose inputs want no gradient, as an embedding's, were not told that backward is through.
  for (std::size_t unit = units_.size(); unit-- > 0;) finish_backward(unit);
  settle_reductions(0);
  in_backward_ = false;
}

void Fsdp::note_unsharded_bytes() {
  const std::int64_t bytes = std::accumulate(
      units_.begin(), units_.end(), std::int64_t{0},
      [](std::int64_t sum, const auto& unit) { return sum + unit->unsharded_bytes(); });
  peak_unsharded_bytes_ = std::max(peak_unsharded_bytes_, bytes);
}

std::int64_t Fsdp::take_peak_unsharded_bytes() { return std::exchange(peak_unsharded_bytes_, 0); }

}  // namespace titan::parallel
