#pragma once

#include <string>
#include <vector>

namespace titan::plot {

enum class Scale { kLinear, kLog };

/// From the smallest to the largest value that is to be seen; both finite, at most 1e30 in size.
struct Range {
  double low = 0;
  double high = 0;
};

struct Tick {
  double value = 0;
  std::string label;
};

/// One direction of a panel: round numbers at its ticks, ends that enclose the data.
class Axis {
 public:
  /// A range that is a single value is widened. `most_ticks` is at least 2. A logarithmic axis
  /// needs a positive range.
  Axis(Scale scale, Range data, int most_ticks);

  /// 0 at the low end, 1 at the high end; beyond them for values outside.
  double position(double value) const;
  Scale scale() const { return scale_; }
  const Range& range() const { return range_; }
  /// By rising value, with different labels, within the range.
  const std::vector<Tick>& ticks() const { return ticks_; }

 private:
  void make_linear(Range data, int most_ticks);
  void make_logarithmic(Range data, int most_ticks);

  Scale scale_;
  Range range_;
  std::vector<Tick> ticks_;
};

/// The scale on which more of a curve can be seen: logarithmic where positive values spread over
/// more than a factor of `spread`, or single ones stick out. Values in any order.
Scale choose_scale(std::vector<double> values, double spread);

}  // namespace titan::plot
