#include <algorithm>
#include <array>
#include <string_view>

#include "titan/components/checkpoint/stateful.h"
#include "titan/tools/logging.h"

namespace titan::components {
namespace {

using formats::PickleValue;

/// Sections whose options decide the numbers of a run, on whatever ranks it runs.
constexpr std::array<std::string_view, 6> kDeciding = {"data.",      "lr_scheduler.", "model.",
                                                       "optimizer.", "quantize.",     "training."};
/// Options of these sections that decide nothing.
constexpr std::array<std::string_view, 5> kHarmless = {
    "model.print_after_conversion", "quantize.linear.mx.mxfp8_dim1_cast_kernel_choice",
    "training.dataloader.", "training.device", "training.gc_"};

bool decides(std::string_view option) {
  const auto begins = [&](std::string_view prefix) { return option.starts_with(prefix); };
  return std::ranges::any_of(kDeciding, begins) && std::ranges::none_of(kHarmless, begins);
}

class JobConfigState : public Stateful {
 public:
  explicit JobConfigState(std::map<std::string, std::string> values) : values_(std::move(values)) {}

  std::string name() const override { return "job_config"; }

  void add_to(FlatState& state) override {
    std::vector<std::pair<PickleValue, PickleValue>> items;
    for (const auto& [option, value] : values_) {
      items.emplace_back(PickleValue::text(option), PickleValue::text(value));
    }
    state.objects.push_back({{"job_config"}, PickleValue::dict(std::move(items))});
  }

  void restore(const DcpCheckpoint& checkpoint) override {
    if (checkpoint.find("job_config") == nullptr) return;  // Python's
    const PickleValue saved = checkpoint.object("job_config");
    for (const auto& [option, value] : values_) {
      const PickleValue* before = decides(option) ? saved.find(option) : nullptr;
      const auto* text = before == nullptr ? nullptr : before->get_if<std::string>();
      if (text != nullptr && *text != value) {
        tools::log_warning(option, " is ", value, " now and was ", *text,
                           " when the checkpoint was saved; the new value is used");
      }
    }
  }

 private:
  std::map<std::string, std::string> values_;
};

}  // namespace

std::unique_ptr<Stateful> job_config_state(std::map<std::string, std::string> values) {
  return std::make_unique<JobConfigState>(std::move(values));
}

}  // namespace titan::components
