#include "pipeline/phases.h"

#include "titan/base/errors.h"
#include "titan/watch/watch.h"

namespace titan::pipeline {

using schedule::Action;
using schedule::Op;

Phases::Phases(const schedule::Placement& placement, std::int64_t stages,
               const comm::RankContext& context)
    : placement_(placement), stages_(stages), context_(context) {}

void Phases::begin(std::int64_t step, const std::string& purpose) {
  step_ = step;
  begin(purpose);
}

void Phases::begin(const std::string& purpose) { purpose_ = purpose; }

std::string Phases::name_of(const Action& action) const {
  // Who listens knows so many phases by name, and a rank has six for each microbatch of a stage; two more in validation.
  constexpr std::int64_t kMostNames = 800;
  const bool is_named = action.microbatch < kMostNames / 8 / stages_;
  const std::string microbatch =
      is_named ? concat("microbatch ", action.microbatch) : "a microbatch";
  const std::string stage = concat("stage ", action.stage);
  const auto peer = [&](std::int64_t other) {
    const auto place = static_cast<std::size_t>(placement_.rank_of(other));
    return concat("rank ", context_.group(mesh::MeshDim::kPp).ranks().at(place));
  };
  switch (action.op) {
    case Op::kForward:
      return concat("forward of ", microbatch, " in ", stage);
    case Op::kBackward:
      return concat("backward of ", microbatch, " in ", stage);
    case Op::kInputGradient:
      return concat("backward of inputs of ", microbatch, " in ", stage);
    case Op::kWeightGradient:
      return concat("backward of weights of ", microbatch, " in ", stage);
    case Op::kUnshard:
      return concat("gathering the parameters of ", stage);
    case Op::kReshard:
      return concat("giving back the parameters of ", stage);
    case Op::kReduceGradients:
      return concat("summing the gradients of ", stage);
    case Op::kSendForward:
      return concat("sending activations of ", stage, " to ", peer(action.stage + 1));
    case Op::kReceiveForward:
      return concat("waiting for activations of ", microbatch, " for ", stage, " from ",
                    peer(action.stage - 1));
    case Op::kSendBackward:
      return concat("sending gradients of ", stage, " to ", peer(action.stage - 1));
    case Op::kReceiveBackward:
      return concat("waiting for gradients of ", microbatch, " for ", stage, " from ",
                    peer(action.stage + 1));
    case Op::kOverlap:
      return concat(name_of(action.parts.at(0)), " beside ", name_of(action.parts.at(1)));
  }
  throw InternalError("an action without a name");
}

void Phases::enter(const Action& action) const {
  if (context_.watch != nullptr) enter(name_of(action));
}

void Phases::enter(const std::string& phase) const {
  if (context_.watch == nullptr) return;
  context_.watch->enter_phase(purpose_.empty() ? phase : concat(phase, " for ", purpose_), step_);
}

}  // namespace titan::pipeline
