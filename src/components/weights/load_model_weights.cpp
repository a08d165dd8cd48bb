#include <ATen/ops/empty.h>
#include <c10/core/GradMode.h>

#include <algorithm>
#include <atomic>
#include <exception>
#include <functional>
#include <mutex>
#include <set>
#include <system_error>
#include <thread>

#include "titan/base/errors.h"
#include "titan/components/weights/adapted_weights.h"
#include "titan/components/weights/model_weights.h"
#include "titan/nn/module.h"

namespace titan::components {
namespace {

/// A tensor that is to be filled with a box of the tensor of that name.
struct Target {
  std::string name;
  at::Tensor tensor;
  nn::TensorBox box;
  bool here = true;
  bool is_alias = false;  // another name of a tensor that comes before
};

/// All tensors of a model, under each of their names, also those that another stage has.
std::vector<Target> targets_of(nn::Module& model) {
  std::vector<Target> targets;
  std::set<const nn::Parameter*> seen;
  for (const auto& [name, parameter] : model.parameter_names()) {
    const bool is_alias = !seen.insert(parameter).second;
    targets.push_back({name, parameter->tensor, parameter->box(), parameter->here, is_alias});
  }
  for (const nn::NamedTensor& buffer : model.persistent_buffers()) {
    const auto dimensions = static_cast<std::size_t>(buffer.tensor.dim());
    targets.push_back({buffer.name,
                       buffer.tensor,
                       {buffer.tensor.sizes().vec(), std::vector<std::int64_t>(dimensions, 0)},
                       buffer.here});
  }
  return targets;
}

std::vector<protocols::TensorShape> shapes_of(const std::vector<Target>& targets) {
  std::vector<protocols::TensorShape> shapes;
  for (const Target& target : targets) shapes.push_back({target.name, target.box.full_sizes});
  return shapes;
}

void load(const Target& target, const WeightsReader& weights) {
  const at::Tensor tensor = target.tensor.detach();
  // Another stage's, or a rank without rows.
  if (!target.here || target.is_alias || tensor.numel() == 0) return;
  if (tensor.device().is_cpu() && tensor.is_contiguous()) {
    weights.read(target.name, target.box.offsets, tensor);
    return;
  }
  const at::Tensor buffer = at::empty(tensor.sizes(), tensor.scalar_type());
  weights.read(target.name, target.box.offsets, buffer);
  tensor.copy_(buffer);
}

/// Calls `work(0)`, `work(1)`, ... `work(count - 1)` from a few threads. Throws what the first to fail
/// threw.
void run_in_threads(std::size_t count, const std::function<void(std::size_t)>& work) {
  std::atomic<std::size_t> next = 0;
  std::exception_ptr failure;
  std::mutex mutex;
  const auto run = [&] {
    const c10::NoGradGuard no_grad;
    try {
      for (std::size_t i = next++; i < count; i = next++) work(i);
    } catch (...) {
      const std::lock_guard lock(mutex);
      if (!failure) failure = std::current_exception();
      next = count;
    }
  };
  const std::size_t threads = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 1, 4);
  {
    std::vector<std::jthread> others;
    try {
      for (std::size_t i = 1; i < std::min(threads, count); ++i) others.emplace_back(run);
    } catch (const std::system_error&) {
      // No more threads to be had: those there are do the work.
    }
    run();
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

std::vector<protocols::TensorShape> model_tensors(nn::Module& model) {
  return shapes_of(targets_of(model));
}

void load_model_weights(nn::Module& model, const WeightsReader& weights,
                        const protocols::StateDictAdapter* adapter) {
  const std::vector<Target> targets = targets_of(model);
  std::unique_ptr<WeightsReader> translated;
  if (adapter != nullptr) {
    translated = as_model_weights(weights, *adapter, shapes_of(targets));
  } else {
    check_same_tensors(weights, shapes_of(targets));
  }
  const WeightsReader& source = translated ? *translated : weights;
  run_in_threads(targets.size(), [&](std::size_t i) { load(targets[i], source); });
}

}  // namespace titan::components
