#pragma once

#include <string>

#include "titan/schedule/simulation.h"

namespace titan::schedule {

/// A line per rank for a terminal: what it does in each unit of the shortest time, "." where it waits; then makespan,
/// bubble and the peaks in flight.
std::string timeline_text(const Timeline& timeline, const Placement& placement);

/// A picture: a row per rank, a box per action, coloured by what it does, with the microbatch's number; stages of a rank
/// in shades. `title` above.
std::string timeline_svg(const Timeline& timeline, const Placement& placement,
                         const std::string& title);

/// The same for Perfetto and chrome://tracing: JSON of trace events, a process per rank; a unit of time is `unit_us`
/// microseconds.
std::string timeline_trace(const Timeline& timeline, double unit_us = 1000);

}  // namespace titan::schedule
