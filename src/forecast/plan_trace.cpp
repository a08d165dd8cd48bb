#include "forecast/plan_trace.h"

#include <torch/csrc/autograd/function.h>

#include <algorithm>
#include <optional>
#include <utility>

#include "titan/autograd/recomputation.h"
#include "titan/mesh/parallel_dims.h"
#include "titan/parallel/layout.h"

namespace titan::forecast {

namespace {

PlannedParameter planned(const nn::NamedParameter& named) {
  const nn::Parameter& parameter = *named.parameter;
  std::size_t cuts = 0;
  for (std::size_t i = 0; i < parameter.cuts.size(); ++i) {
    if (parallel::mesh_dim_of(parameter.cuts[i].axis) == mesh::MeshDim::kTp) cuts = i + 1;
  }
  return {named.name, parameter.full_sizes, parameter.sizes_after(cuts),
          parameter.sizes_after(parameter.cuts.size())};
}

PlannedModules planned(const parallel::StyledModule& styled) {
  PlannedModules result = {styled.modules,  0, styled.style, {}, styled.forward,
                           styled.backward, {}};
  for (const nn::NamedParameter& named : styled.parameters) {
    result.parameters.push_back(planned(named));
  }
  return result;
}

void add(SentBytes& sum, const SentBytes& sent) {
  sum.forward += sent.forward;
  sum.again += sent.again;
  sum.backward += sent.backward;
}

}  // namespace

void PlanTrace::styled(const parallel::StyledModule& styled) {
  const std::size_t place = places_.size();
  places_.push_back({styled, {}});
  calls_.follow(*styled.module, place);
}

std::size_t PlanTrace::elsewhere(std::string_view where) {
  const auto found = std::ranges::find_if(places_, [&](const Place& place) {
    return place.styled.module == nullptr && place.styled.name == where;
  });
  if (found != places_.end()) return static_cast<std::size_t>(found - places_.begin());
  places_.emplace_back().styled.name = where;
  return places_.size() - 1;
}

PlanTrace::Scope::Scope(PlanTrace& trace, std::string_view where)
    : scope_(trace.calls_, trace.elsewhere(where)) {}

void PlanTrace::sent(std::string_view group, std::int64_t bytes) {
  if (group != mesh::to_string(mesh::MeshDim::kTp)) return;
  const std::optional<std::size_t> owner = calls_.owner();
  if (calls_.is_forward()) {
    SentBytes& sent = places_[*owner].sent;
    (autograd::is_recomputing() ? sent.again : sent.forward) += bytes;
    return;
  }
  const bool in_backward = torch::autograd::get_current_node() != nullptr;
  const std::size_t place =
      owner ? *owner
            : elsewhere(in_backward ? "backward of other layers" : "sums at the end of backward");
  places_[place].sent.backward += bytes;
}

void PlanTrace::reset() {
  calls_.forget();
  for (Place& place : places_) place.sent = {};
}

TensorPlanFigures PlanTrace::figures() const {
  TensorPlanFigures result;
  for (const Place& place : places_) {
    if (place.styled.module == nullptr) {
      const std::int64_t sent = place.sent.total();
      if (sent > 0) result.elsewhere.push_back({place.styled.name, sent});
      continue;
    }
    const PlannedModules one = planned(place.styled);
    auto alike = std::ranges::find_if(result.lines, [&](const PlannedModules& line) {
      return line.modules == one.modules && line.parameters == one.parameters;
    });
    if (alike == result.lines.end()) alike = result.lines.insert(alike, one);
    ++alike->count;
    add(alike->sent, place.sent);
  }
  return result;
}

}  // namespace titan::forecast
