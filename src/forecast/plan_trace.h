#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "titan/autograd/module_calls.h"
#include "titan/forecast/figures.h"
#include "titan/parallel/plan_observer.h"

namespace titan::forecast {

/// Adds up what each module of a tensor-parallel plan sends over the ranks of `tp` while a step runs, and
/// what is sent elsewhere. Made before the model and outlives it; one thread.
class PlanTrace : public parallel::PlanObserver {
 public:
  void styled(const parallel::StyledModule& styled) override;

  /// Something was sent where the step is now.
  void sent(std::string_view group, std::int64_t bytes);
  /// Nothing was sent so far.
  void reset();
  TensorPlanFigures figures() const;

  /// While it lives, a part of the step runs that is no module's.
  class Scope {
   public:
    Scope(PlanTrace& trace, std::string_view where);

   private:
    autograd::ModuleCalls::Scope scope_;
  };

 private:
  /// A module of the plan, or with its name alone another part of a step.
  struct Place {
    parallel::StyledModule styled;
    SentBytes sent;
  };
  std::size_t elsewhere(std::string_view where);

  std::vector<Place> places_;
  autograd::ModuleCalls calls_;  // whose owners are places
};

}  // namespace titan::forecast
