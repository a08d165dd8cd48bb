#pragma once

#include <cstdint>
#include <vector>

namespace titan::text {

/// The numbers begin, begin + step, ... before `end`; -1: as far as the data goes, which is not
/// known.
struct Progression {
  std::int64_t begin = 0;
  std::int64_t end = -1;
  std::int64_t step = 1;

  bool operator==(const Progression&) const = default;
};

/// How many numbers a progression with an end has.
std::int64_t count_of(const Progression& numbers);

/// Deals numbers of which none is in two progressions to `ranks` ranks, so that each gets as many as
/// the others, or one more. Progressions with an end are cut where their numbers in a row are: few
/// come of few. Those without one are dealt one number after the other in increasing order, which is
/// even wherever the data ends.
///
/// `turn` is the rank that gets one more first; it is moved on, so that of many deals no rank gets
/// more than others.
std::vector<std::vector<Progression>> deal(const std::vector<Progression>& numbers,
                                           std::int64_t ranks, std::int64_t& turn);

}  // namespace titan::text
