#include <algorithm>

#include "forecast/job_text.h"
#include "titan/base/errors.h"
#include "titan/forecast/forecast.h"
#include "titan/tools/number_text.h"
#include "titan/tools/text_table.h"

namespace titan::forecast {
namespace {

using tools::aligned;
using tools::bytes_text;
using tools::Row;

std::string memory_table(const Forecast& forecast) {
  std::vector<Row> rows = {{"activation checkpointing", "parameters", "gradients",
                            "optimizer state", "communication", "activations", "peak"}};
  for (std::size_t i = 0; i < forecast.memory.size(); ++i) {
    const MemoryFigures& memory = forecast.memory[i];
    rows.push_back({memory.activation_checkpoint + (i == 0 ? " (configured)" : ""),
                    bytes_text(memory.parameters), bytes_text(memory.gradients),
                    bytes_text(memory.optimizer_state), bytes_text(memory.communication_buffers),
                    bytes_text(memory.activations), bytes_text(memory.peak)});
  }
  const std::int64_t host = forecast.memory.front().host;
  const std::string note =
      host == 0 ? ""
                : concat("   Parameters, gradients and optimizer state, ", bytes_text(host),
                         ", are in the host's memory and not in the peak.\n");
  const std::string whose =
      forecast.pipeline.empty()
          ? "a rank"
          : concat("rank ", forecast.largest, " of the pipeline, which needs most,");
  return concat("Memory of ", whose, " at the peak of a step\n", aligned(rows, 1), note);
}

std::string pipeline_table(const Forecast& forecast) {
  if (forecast.pipeline.empty()) return "";
  std::vector<Row> rows = {{"rank", "stages", "in flight", "parameters", "gradients",
                            "optimizer state", "communication", "activations", "peak", "sent"}};
  for (std::size_t i = 0; i < forecast.pipeline.size(); ++i) {
    const PipelineRank& rank = forecast.pipeline[i];
    std::string stages;
    for (const std::int64_t stage : rank.stages)
      stages += concat(stages.empty() ? "" : ", ", stage);
    const MemoryFigures& memory = rank.memory;
    rows.push_back({std::to_string(i), stages, std::to_string(rank.in_flight),
                    bytes_text(memory.parameters), bytes_text(memory.gradients),
                    bytes_text(memory.optimizer_state), bytes_text(memory.communication_buffers),
                    bytes_text(memory.activations), bytes_text(memory.peak),
                    bytes_text(rank.sent_bytes)});
  }
  return "\nRanks of the pipeline, with the microbatches that they hold at most\n" +
         aligned(rows, 2);
}

std::string alternatives_table(const Forecast& forecast) {
  if (forecast.alternatives.empty()) return "";
  std::vector<Row> rows = {{"change", "peak"}};
  for (const Alternative& other : forecast.alternatives) {
    rows.push_back({other.change, bytes_text(other.peak)});
  }
  return "\nWhat would save memory\n" + aligned(rows, 1);
}

std::string communication_table(const Forecast& forecast) {
  if (forecast.communication.empty()) return "\nNothing is sent: there is one rank.\n";
  std::vector<Row> rows = {{"mesh", "operation", "ranks", "calls", "tensors", "sent by a rank"}};
  std::int64_t sent = 0;
  for (const Communication& sum : forecast.communication) {
    rows.push_back({sum.mesh, sum.operation, tools::with_thousands(sum.ranks),
                    tools::with_thousands(sum.calls), bytes_text(sum.tensor_bytes),
                    bytes_text(sum.sent_bytes)});
    sent += sum.sent_bytes;
  }
  rows.push_back({"all", "", "", "", "", bytes_text(sent)});
  const std::string whose =
      forecast.pipeline.empty() ? "a rank" : concat("rank ", forecast.largest, " of the pipeline");
  return concat("\nCommunication of ", whose, " in a step\n", aligned(rows, 2));
}

}  // namespace

std::string forecast_table(const Forecast& forecast) {
  return concat(job_text(forecast), "\n", memory_table(forecast), pipeline_table(forecast),
                alternatives_table(forecast), communication_table(forecast));
}

std::string forecast_text(const Forecast& forecast, std::int64_t peak_bytes) {
  const MemoryFigures& memory = forecast.memory.front();
  std::string text = concat(
      "Memory in use was ", bytes_text(peak_bytes), "; the forecast for a step is ",
      bytes_text(memory.peak), ": parameters ", bytes_text(memory.parameters), ", gradients ",
      bytes_text(memory.gradients), ", optimizer state ", bytes_text(memory.optimizer_state),
      ", communication ", bytes_text(memory.communication_buffers), ", activations ",
      bytes_text(memory.activations), ".");
  constexpr std::size_t kShown = 3;
  for (std::size_t i = 0; i < std::min(kShown, forecast.alternatives.size()); ++i) {
    const Alternative& other = forecast.alternatives[i];
    text += concat(i == 0 ? " It would be " : "; ", bytes_text(other.peak), " with ", other.change);
  }
  return text + (forecast.alternatives.empty() ? "" : ".");
}

}  // namespace titan::forecast
