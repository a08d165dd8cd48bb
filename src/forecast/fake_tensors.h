#pragma once

#include <memory>
#include <unordered_map>

#include "forecast/memory_tracker.h"
#include "titan/autograd/dispatch_mode.h"

namespace titan::forecast {

/// Runs operators on CPU tensors without computing anything: results have the right sizes and types,
/// and memory as the allocator gives it. Views are real views; for the rest LibTorch's meta kernels
/// say what comes out, or our shape rules where there is no meta kernel in C++. Communication is left to
/// its group, which is to be of the `fake` back end, with the tensors fake inside too. Numbers read from
/// a tensor are 1. Use it inside a `TrackingScope` that pretends, with the same tracker.
class FakeTensors : public autograd::DispatchMode {
 public:
  explicit FakeTensors(std::shared_ptr<MemoryTracker> tracker) : tracker_(std::move(tracker)) {}

  /// Throws RunError for an operator whose results it does not know.
  void call(const c10::OperatorHandle& op, torch::jit::Stack* stack,
            const std::function<void()>& compute) override;

 private:
  enum class Kind { kLookedInto, kNative, kInPlace, kNumber, kShapeRule, kMeta };
  Kind kind_of(const c10::OperatorHandle& op);

  std::shared_ptr<MemoryTracker> tracker_;
  std::unordered_map<const c10::FunctionSchema*, Kind> kinds_;
};

}  // namespace titan::forecast
