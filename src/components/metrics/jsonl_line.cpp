#include "components/metrics/jsonl_line.h"

#include <string_view>

#include "titan/base/float_text.h"

namespace titan::components {
namespace {

class ObjectText {
 public:
  void add(std::string_view key, double value) { add_text(key, base::json_number(value)); }
  void add(std::string_view key, std::int64_t value) { add_text(key, std::to_string(value)); }
  void add(std::string_view key, const ObjectText& value) { add_text(key, value.text() + "}"); }
  void add(std::string_view key, const std::optional<double>& value) {
    add_text(key, value ? base::json_number(*value) : "null");
  }
  std::string line() const { return text() + "}\n"; }

 private:
  std::string text() const { return text_.empty() ? "{" : text_; }
  void add_text(std::string_view key, const std::string& value) {
    text_ += text_.empty() ? "{\"" : ", \"";
    text_.append(key).append("\": ").append(value);
  }
  std::string text_;
};

void add_memory(ObjectText& object, const protocols::MemoryPeak& memory) {
  object.add("memory_max_active_gib", memory.max_active_gib);
  object.add("memory_max_active_pct", memory.max_active_pct);
  object.add("memory_max_reserved_gib", memory.max_reserved_gib);
  object.add("memory_max_reserved_pct", memory.max_reserved_pct);
  object.add("memory_num_alloc_retries", memory.num_alloc_retries);
  object.add("memory_num_ooms", memory.num_ooms);
}

/// By layer.
void add_experts(ObjectText& object, const std::vector<protocols::ExpertLoad>& loads) {
  if (loads.empty()) return;
  ObjectText imbalance;
  ObjectText idle;
  for (const protocols::ExpertLoad& load : loads) {
    imbalance.add(load.layer, load.imbalance);
    idle.add(load.layer, load.idle_experts);
  }
  object.add("expert_imbalance", imbalance);
  object.add("idle_experts", idle);
}

}  // namespace

std::string jsonl_line(const StepReport& report) {
  const protocols::StepMetrics& step = report.step;
  ObjectText object;
  object.add("step", step.step);
  object.add("loss", step.loss);
  object.add("max_loss", step.max_loss);
  object.add("grad_norm", step.grad_norm);
  object.add("lr", step.lr);
  object.add("n_tokens_seen", step.n_tokens_seen);
  object.add("tps", report.tps);
  object.add("tflops", report.tflops);
  object.add("mfu", report.mfu);
  object.add("data_loading_s", report.data_loading_s);
  object.add("data_loading_pct", report.data_loading_pct);
  object.add("end_to_end_s", report.end_to_end_s);
  add_memory(object, report.memory);
  add_experts(object, step.expert_loads);
  return object.line();
}

std::string jsonl_line(const ValidationReport& report) {
  ObjectText object;
  object.add("step", report.validation.step);
  object.add("validation_loss", report.validation.loss);
  object.add("tps", report.tps);
  add_memory(object, report.memory);
  return object.line();
}

}  // namespace titan::components
