#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "titan/autograd/dispatch_mode.h"
#include "titan/nn/module.h"

namespace titan::parallel {

/// The two dispatch modes of one selectively checkpointed call: one keeps results while forward
/// runs, one hands them back when it runs again.
struct SelectiveModes {
  std::shared_ptr<autograd::DispatchMode> forward;
  std::shared_ptr<autograd::DispatchMode> recompute;
  /// Is shown each tensor that autograd saves while forward runs; may be empty.
  std::function<void(const at::Tensor&)> saved = nullptr;
  /// Forward has ended; may be empty.
  std::function<void()> forward_ended = nullptr;
};

struct CheckpointOptions {
  /// The recomputation draws the same random numbers from the default generators as forward did.
  bool preserve_rng_state = true;
  /// The recomputed tensors must have the shapes, types and devices of the saved ones.
  bool determinism_check = true;
  /// Stop running forward again once the last saved tensor is back.
  bool early_stop = false;
  /// Is given how often which operator ran when the module ran again, of every time; empty: nobody asks.
  std::function<void(const std::map<std::string, std::int64_t>& calls)> report_recomputed = nullptr;
  /// Makes the modes of one call; none: everything is recomputed.
  std::function<SelectiveModes()> selective_modes;
};

/// Runs `forward` without keeping the tensors that autograd saves; the first of them that backward
/// asks for runs `forward` again and collects all. Gradients are those of a plain run, bit for bit.
/// The twin of torch.utils.checkpoint with use_reentrant=False.
nn::Tensors checkpoint_forward(const nn::Module::Forward& forward, const nn::Inputs& inputs,
                               const CheckpointOptions& options);

}  // namespace titan::parallel
