#include "components/metrics/scalars.h"

namespace titan::components {
namespace {

void add_memory(std::vector<Scalar>& list, const std::string& prefix,
                const protocols::MemoryPeak& memory) {
  list.push_back({prefix + "memory/max_active(GiB)", memory.max_active_gib});
  list.push_back({prefix + "memory/max_active(%)", memory.max_active_pct});
  list.push_back({prefix + "memory/max_reserved(GiB)", memory.max_reserved_gib});
  list.push_back({prefix + "memory/max_reserved(%)", memory.max_reserved_pct});
}

}  // namespace

std::vector<Scalar> scalars(const StepReport& report) {
  const protocols::StepMetrics& step = report.step;
  std::vector<Scalar> list = {{"loss_metrics/global_avg_loss", step.loss},
                              {"loss_metrics/global_max_loss", step.max_loss},
                              {"grad_norm", step.grad_norm},
                              {"throughput(tps)", report.tps},
                              {"tflops", report.tflops}};
  if (report.mfu) list.push_back({"mfu(%)", *report.mfu});
  list.push_back({"time_metrics/end_to_end(s)", report.end_to_end_s});
  list.push_back({"time_metrics/data_loading(s)", report.data_loading_s});
  list.push_back({"time_metrics/data_loading(%)", report.data_loading_pct});
  add_memory(list, "", report.memory);
  const protocols::MemoryPeak& memory = report.memory;
  list.push_back({"memory/num_alloc_retries", static_cast<double>(memory.num_alloc_retries)});
  list.push_back({"memory/num_ooms", static_cast<double>(memory.num_ooms)});
  list.push_back({"n_tokens_seen", static_cast<double>(step.n_tokens_seen)});
  list.push_back({"lr", step.lr});
  for (const protocols::ExpertLoad& load : step.expert_loads) {
    list.push_back({"experts/imbalance/" + load.layer, load.imbalance});
    list.push_back({"experts/idle/" + load.layer, static_cast<double>(load.idle_experts)});
  }
  return list;
}

std::vector<Scalar> scalars(const ValidationReport& report) {
  std::vector<Scalar> list = {{"validation_metrics/loss", report.validation.loss},
                              {"validation_metrics/throughput(tps)", report.tps}};
  add_memory(list, "validation_metrics/", report.memory);
  return list;
}

}  // namespace titan::components
