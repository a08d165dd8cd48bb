#include "titan/parallel/fsdp.h"

#include <ATen/core/Tensor.h>
#include <c10/core/GradMode.h>
#include <c10/core/impl/VirtualGuardImpl.h>

#include <algorithm>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "parallel/buffer_pool.h"
#include "titan/autograd/backward_hooks.h"
#include "titan/autograd/recomputation.h"
#include "titan/base/errors.h"

namespace titan::parallel {

namespace {

/// How often each parameter is named below these modules.
std::unordered_map<nn::Parameter*, std::size_t> count_names(
    const std::vector<nn::Module*>& modules) {
  std::unordered_map<nn::Parameter*, std::size_t> counts;
  for (const nn::Module* module : modules) {
    for (const auto& [name, parameter] : module->parameter_names()) ++counts[parameter];
  }
  return counts;
}

void cast(nn::Tensors& tensors, at::ScalarType dtype) {
  for (at::Tensor& tensor : tensors) {
    if (tensor.defined() && tensor.is_floating_point()) tensor = tensor.to(dtype);
  }
}

}  // namespace

std::shared_ptr<Fsdp> Fsdp::create(nn::Module& root, const FsdpOptions& options) {
  return std::shared_ptr<Fsdp>(new Fsdp(root, options));
}

Fsdp::Fsdp(nn::Module& root, const FsdpOptions& options)
    : root_(root),
      options_(options),
      pool_(std::make_shared<BufferPool>(options.device, options.keeps_buffers)) {}

Fsdp::~Fsdp() = default;

std::vector<nn::Parameter*> Fsdp::parameters_to_take(
    const std::vector<nn::Module*>& modules) const {
  const auto everywhere = count_names({&root_});
  auto here = count_names(modules);
  std::vector<nn::Parameter*> result;
  for (const nn::Module* module : modules) {
    for (const auto& [name, parameter] : module->named_parameters()) {
      // Of a name that several of the modules have only the first finds its count.
      const auto count = here.find(parameter);
      if (count == here.end() || taken_.contains(parameter)) continue;
      if (count->second == everywhere.at(parameter)) result.push_back(parameter);
      here.erase(count);
    }
  }
  return result;
}

FsdpUnit* Fsdp::wrap(std::vector<nn::Module*> modules, const UnitOptions& options) {
  // Those of other stages never run what is attached to them.
  std::erase_if(modules, [](const nn::Module* module) { return !module->is_here(); });
  std::vector<nn::Parameter*> parameters = parameters_to_take(modules);
  if (parameters.empty()) return nullptr;
  TITAN_CHECK(!prefetches_ordered_, "a model that has run already is sharded");
  taken_.insert(parameters.begin(), parameters.end());
  units_.push_back({std::make_unique<FsdpUnit>(std::move(parameters), options, options_.types,
                                               options_.device, pool_),
                    modules.front(), modules.back()});
  FsdpUnit* unit = units_.back().unit.get();
  const auto self = shared_from_this();
  modules.front()->add_pre_forward_hook(
      [self, unit](nn::Module&, nn::Inputs& inputs) { self->before_forward(*unit, inputs); });
  modules.back()->add_post_forward_hook(
      [self, unit](nn::Module&, const nn::Inputs&, nn::Tensors& outputs) {
        self->after_forward(*unit, outputs);
      });
  return unit;
}

FsdpUnit* Fsdp::wrap_root(UnitOptions options) {
  options.reshard_after_forward = false;
  return wrap({&root_}, options);
}

/// Each unit fetches the one that runs next: forward in the order in which modules begin, backward in the
/// opposite of that in which they end.
void Fsdp::order_prefetches() {
  prefetches_ordered_ = true;
  std::unordered_map<const nn::Module*, std::size_t> begins;  // outer modules before inner ones
  for (const auto& [name, module] : root_.named_modules()) begins.emplace(module, begins.size());
  const auto end_of = [&](nn::Module* module) {  // inner modules before outer ones
    const std::size_t begin = begins.at(module);
    return std::pair(begin + module->named_modules().size(), begins.size() - begin);
  };
  std::vector<const Wrapped*> order;
  for (const Wrapped& wrapped : units_) order.push_back(&wrapped);
  std::ranges::sort(order, {}, [&](const Wrapped* wrapped) { return begins.at(wrapped->first); });
  for (std::size_t i = 0; i + 1 < order.size(); ++i) {
    if (!order[i]->unit->forward_prefetch()) {
      order[i]->unit->set_forward_prefetch({order[i + 1]->unit.get()});
    }
  }
  std::ranges::sort(order, {}, [&](const Wrapped* wrapped) { return end_of(wrapped->last); });
  for (std::size_t i = 1; i < order.size(); ++i) {
    if (!order[i]->unit->backward_prefetch()) {
      order[i]->unit->set_backward_prefetch({order[i - 1]->unit.get()});
    }
  }
}

void Fsdp::before_forward(FsdpUnit& unit, nn::Inputs& inputs) {
  if (!prefetches_ordered_) order_prefetches();
  unit.unshard();
  if (options_.types.param_dtype) cast(inputs.tensors, *options_.types.param_dtype);
  if (autograd::is_recomputing()) return;  // the graph and its hooks are those of the first time
  if (unit.forward_prefetch()) {
    for (FsdpUnit* next : *unit.forward_prefetch()) next->prefetch();
  }
  note_unsharded_bytes();
  autograd::after_backward(inputs.tensors, [self = weak_from_this(), &unit] {
    if (const auto fsdp = self.lock()) fsdp->finish_backward(unit);
  });
}

void Fsdp::after_forward(FsdpUnit& unit, nn::Tensors& outputs) {
  if (autograd::is_recomputing()) return;
  const bool trains = c10::GradMode::is_enabled();
  if (trains ? unit.reshards_after_forward() : !is_held_) unit.reshard();
  if (!trains) return;
  autograd::before_backward(outputs, [self = weak_from_this(), &unit] {
    if (const auto fsdp = self.lock()) fsdp->start_backward(unit);
  });
}

void Fsdp::start_backward(FsdpUnit& unit) {
  if (!std::exchange(end_is_awaited_, true)) {
    autograd::at_end_of_backward([self = shared_from_this()] { self->end_backward(); });
  }
  unit.unshard();
  if (unit.backward_prefetch()) {
    for (FsdpUnit* next : *unit.backward_prefetch()) next->prefetch();
  }
  note_unsharded_bytes();
}

void Fsdp::finish_backward(FsdpUnit& unit) {
  if (sync_) {
    start_reduce(unit);
  } else {
    unit.keep_gradients();
  }
  if (reshard_after_backward_) unit.reshard();
}

void Fsdp::start_reduce(FsdpUnit& unit) {
  // A unit has one reduction at a time, but may be told more than once in a backward pass that it is over.
  const bool is_reducing = !reducing_.empty() && reducing_.back() == &unit;
  settle_reductions(is_reducing ? 0 : 1);
  if (!unit.start_reduce()) return;
  reducing_.push_back(&unit);
  if (!unit.can_reduce_ahead()) return;
  if (!all_reduces_) {
    const c10::impl::VirtualGuardImpl guard(options_.device.type());
    all_reduces_ = guard.getStreamFromGlobalPool(options_.device);
  }
  unit.all_reduce_on(*all_reduces_);
}

void Fsdp::settle_reductions(std::size_t still_running) {
  // The youngest has had a whole unit's time for its reduce-scatter, the one before another for its all-reduce.
  if (!reducing_.empty()) reducing_.back()->continue_reduce();
  while (reducing_.size() > still_running) {
    note_summed(reducing_.front()->finish_reduce());
    landing_.push_back(reducing_.front());
    reducing_.erase(reducing_.begin());
  }
  // At the end of backward the host waits once, for all.
  if (still_running > 0) return;
  for (FsdpUnit* unit : std::exchange(landing_, {})) note_summed(unit->land_gradients());
}

void Fsdp::note_summed(const std::vector<at::Tensor>& parameters) {
  if (on_summed_ && !parameters.empty()) on_summed_(parameters);
}

void Fsdp::end_backward() {
  // Units whose inputs want no gradient, as an embedding's, were not told that backward is through.
  for (std::size_t i = units_.size(); i-- > 0;) finish_backward(*units_[i].unit);
  settle_reductions(0);
  end_is_awaited_ = false;
}

void Fsdp::unshard() {
  is_held_ = true;
  for (const Wrapped& wrapped : units_) wrapped.unit->prefetch();
  for (const Wrapped& wrapped : units_) wrapped.unit->unshard();
  note_unsharded_bytes();
}

void Fsdp::reshard() {
  is_held_ = false;
  for (const Wrapped& wrapped : units_) wrapped.unit->reshard();
}

void Fsdp::reduce_gradients() {
  for (std::size_t i = units_.size(); i-- > 0;) start_reduce(*units_[i].unit);
  settle_reductions(0);
}

void Fsdp::note_unsharded_bytes() {
  const std::int64_t bytes = std::accumulate(
      units_.begin(), units_.end(), std::int64_t{0},
      [](std::int64_t sum, const Wrapped& w) { return sum + w.unit->unsharded_bytes(); });
  peak_unsharded_bytes_ = std::max(peak_unsharded_bytes_, bytes);
}

std::int64_t Fsdp::take_peak_unsharded_bytes() { return std::exchange(peak_unsharded_bytes_, 0); }

}  // namespace titan::parallel
