#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "titan/forecast/figures.h"
#include "titan/parallel/plan_observer.h"

namespace titan::forecast {

/// Adds up what each module of a tensor-parallel plan sends over the ranks of `tp` while a step runs, and
/// what is sent elsewhere. Made before the model and outlives it; one thread.
///
/// Forward, the module that sends is the innermost that runs. Backward, it is the innermost whose forward
/// has made the node of the graph that runs: nodes are numbered as they are made, so that those of a call
/// are an interval.
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
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    friend class PlanTrace;
    Scope(PlanTrace& trace, std::size_t place);

    PlanTrace& trace_;
    std::uint64_t first_node_;
  };

 private:
  /// A module of the plan, or with its name alone another part of a step.
  struct Place {
    parallel::StyledModule styled;
    SentBytes sent;
  };
  /// A call that is over: it has made the nodes from `first` up to `end`.
  struct Call {
    std::size_t place;
    std::uint64_t first;
    std::uint64_t end;
  };
  std::size_t elsewhere(std::string_view where);
  std::size_t place_of_node(std::uint64_t node);

  std::vector<Place> places_;
  std::vector<std::size_t> running_;  // innermost last
  std::vector<Call> calls_;           // inner ones before those around them
};

}  // namespace titan::forecast
