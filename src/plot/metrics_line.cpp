#include "plot/metrics_line.h"

#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

namespace titan::plot {
namespace {

using Json = nlohmann::json;

constexpr double kLargestStep = 9007199254740992.0;  // 2^53: beyond, a double skips whole numbers
constexpr double kLargestValue = 1e30;

/// Takes the numbers of the outer object as they come by; no tree is built.
class Reader : public nlohmann::json_sax<Json> {
 public:
  std::optional<MetricsLine> result() const {
    return has_step_ ? std::optional(line_) : std::nullopt;
  }

  bool start_object(std::size_t) override { return ++depth_ > 0; }
  bool end_object() override { return --depth_ >= 0; }
  bool start_array(std::size_t) override { return depth_++ > 0; }  // an array is no record
  bool end_array() override { return --depth_ >= 0; }
  bool key(string_t& name) override {
    if (depth_ == 1) key_ = name;
    return true;
  }
  bool null() override { return depth_ > 0; }
  bool boolean(bool) override { return depth_ > 0; }
  bool string(string_t&) override { return depth_ > 0; }
  bool binary(binary_t&) override { return depth_ > 0; }
  bool number_integer(number_integer_t value) override { return take(static_cast<double>(value)); }
  bool number_unsigned(number_unsigned_t value) override {
    return take(static_cast<double>(value));
  }
  bool number_float(number_float_t value, const string_t&) override { return take(value); }
  bool parse_error(std::size_t, const std::string&, const Json::exception&) override {
    return false;
  }

 private:
  bool take(double value) {
    if (depth_ == 1) take_member(value);
    return depth_ > 0;
  }

  void take_member(double value) {
    if (key_ == "step") {
      has_step_ = value >= 0 && value <= kLargestStep && value == std::floor(value);
      line_.step = value;
    } else if (std::optional<double>* figure = figure_of_key()) {
      if (std::abs(value) <= kLargestValue) *figure = value;
    }
  }

  std::optional<double>* figure_of_key() {
    if (key_ == "loss") return &line_.loss;
    if (key_ == "validation_loss") return &line_.validation_loss;
    if (key_ == "grad_norm") return &line_.grad_norm;
    if (key_ == "lr") return &line_.lr;
    if (key_ == "tps") return &line_.tps;
    return nullptr;
  }

  int depth_ = 0;
  std::string key_;
  bool has_step_ = false;
  MetricsLine line_;
};

}  // namespace

std::optional<MetricsLine> parse_metrics_line(std::string_view text) {
  Reader reader;
  const bool whole = Json::sax_parse(text.begin(), text.end(), &reader);
  return whole ? reader.result() : std::nullopt;
}

}  // namespace titan::plot
