#include "titan/plot/axis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <string_view>

#include "titan/base/errors.h"

namespace titan::plot {
namespace {

struct Unit {
  double size;
  std::string_view suffix;
};

Unit unit_for(double largest) {
  constexpr std::array<Unit, 4> kUnits = {{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}}};
  for (const Unit& unit : kUnits) {
    if (largest >= unit.size * (unit.size == 1e3 ? 10 : 1)) return unit;
  }
  return {1, ""};
}

std::string printed(const char* format, int digits, double value) {
  std::array<char, 64> text = {};
  std::snprintf(text.data(), text.size(), format, digits, value);
  return text.data();
}

/// "2.5e-4": no zeros that say nothing.
std::string scientific(double value, int digits) {
  const std::string text = printed("%.*e", digits, value);
  const std::size_t e = text.find('e');
  std::string mantissa = text.substr(0, e);
  if (mantissa.find('.') != std::string::npos) {
    mantissa.erase(mantissa.find_last_not_of('0') + 1);
    if (mantissa.ends_with('.')) mantissa.pop_back();
  }
  return mantissa + "e" + std::to_string(std::stoi(text.substr(e + 1)));
}

/// `value` with as many decimals as neighbours `step` apart need to differ.
std::string linear_label(double value, double step, double largest) {
  if (value == 0) return "0";
  if (largest >= 1e15 || largest < 0.01) {
    const double digits = std::floor(std::log10(std::abs(value))) - std::floor(std::log10(step));
    return scientific(value, std::clamp(static_cast<int>(digits) + 1, 0, 15));
  }
  const Unit unit = unit_for(largest);
  const double decimals = -std::floor(std::log10(step / unit.size) + 1e-9);
  return printed("%.*f", std::clamp(static_cast<int>(decimals), 0, 15), value / unit.size) +
         std::string(unit.suffix);
}

std::string log_label(double value) {
  if (value < 1e-2 || value >= 1e15) return scientific(value, 5);
  const Unit unit = unit_for(value);
  return printed("%.*g", 6, value / unit.size) + std::string(unit.suffix);
}

/// The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `least`.
double round_step(double least) {
  const double decade = std::pow(10.0, std::floor(std::log10(least)));
  for (const double factor : {1.0, 2.0, 5.0}) {
    if (factor * decade >= least * (1 - 1e-9)) return factor * decade;
  }
  return 10 * decade;
}

/// Values that a double can hardly tell apart would have no ticks between them.
Range widened(Range data) {
  const double size = std::max(std::abs(data.low), std::abs(data.high));
  if (data.high - data.low > 1e-9 * size) return data;
  const double margin = size > 0 ? 0.1 * size : 1;
  return {data.low - margin, data.high + margin};
}

}  // namespace

Axis::Axis(Scale scale, Range data, int most_ticks) : scale_(scale) {
  TITAN_CHECK(data.low <= data.high && most_ticks >= 2, "no range: ", data.low, " to ", data.high);
  if (scale == Scale::kLog) {
    TITAN_CHECK(data.low > 0, "a logarithmic axis from ", data.low);
    make_logarithmic(data, most_ticks);
  } else {
    make_linear(widened(data), most_ticks);
  }
}

void Axis::make_linear(Range data, int most_ticks) {
  // The ends are multiples of the step too, which may take one more.
  double step = round_step((data.high - data.low) / (most_ticks - 1));
  double first = 0;
  double last = 0;
  for (int tries = 0; tries < 4; ++tries, step = round_step(step * 1.5)) {
    first = std::floor(data.low / step + 1e-9);
    last = std::ceil(data.high / step - 1e-9);
    if (last - first + 1 <= most_ticks) break;
  }
  range_ = {std::min(first * step, data.low), std::max(last * step, data.high)};
  const double largest = std::max(std::abs(range_.low), std::abs(range_.high));
  for (double index = first; index <= last; ++index) {
    ticks_.push_back({index * step, linear_label(index * step, step, largest)});
  }
}

void Axis::make_logarithmic(Range data, int most_ticks) {
  const double first_decade = std::floor(std::log10(data.low) + 1e-9);
  const double last_decade = std::ceil(std::log10(data.high) - 1e-9);
  const double decades = std::max(last_decade - first_decade, 1.0);
  std::vector<double> factors = {1};
  if (3 * decades + 1 <= most_ticks) factors = {1, 2, 5};
  const double stride = std::ceil((decades + 1) / most_ticks);
  range_ = data;
  std::vector<double> values;
  for (double decade = first_decade; decade <= first_decade + decades + stride; decade += stride) {
    for (const double factor : factors) values.push_back(factor * std::pow(10.0, decade));
  }
  // From the last value that is not above the data to the first that is not below them.
  const auto below = std::upper_bound(values.begin(), values.end(), data.low * (1 + 1e-9));
  const auto above = std::lower_bound(values.begin(), values.end(), data.high * (1 - 1e-9));
  auto first = below == values.begin() ? below : below - 1;
  auto last = above == values.end() ? above - 1 : above;
  if (first == last) (last + 1 == values.end()) ? --first : ++last;
  for (auto value = first; value <= last; ++value) ticks_.push_back({*value, log_label(*value)});
  range_ = {std::min(*first, data.low), std::max(*last, data.high)};
}

double Axis::position(double value) const {
  if (scale_ == Scale::kLinear) return (value - range_.low) / (range_.high - range_.low);
  const double low = std::log10(range_.low);
  return (std::log10(value) - low) / (std::log10(range_.high) - low);
}

Scale choose_scale(std::vector<double> values, double spread) {
  if (values.empty()) return Scale::kLinear;
  std::sort(values.begin(), values.end());
  if (values.front() < 1e-30) return Scale::kLinear;
  const auto quantile = [&](double share) {
    return values[static_cast<std::size_t>(share * static_cast<double>(values.size() - 1))];
  };
  const bool spread_out = quantile(0.95) / quantile(0.05) >= spread;
  const bool sticks_out = values.back() / quantile(0.5) >= spread;
  return spread_out || sticks_out ? Scale::kLog : Scale::kLinear;
}

}  // namespace titan::plot
