#include <algorithm>

#include "titan/base/errors.h"
#include "titan/forecast/forecast.h"
#include "titan/tools/number_text.h"

namespace titan::forecast {
namespace {

/// "12.34 GiB", in the largest unit that leaves something before the point.
std::string bytes_text(std::int64_t bytes) {
  constexpr std::string_view kUnits[] = {"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
  auto value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < std::size(kUnits)) {
    value /= 1024;
    ++unit;
  }
  return concat(unit == 0 ? std::to_string(bytes) : tools::fixed(value, 2), " ", kUnits[unit]);
}

using Row = std::vector<std::string>;

/// Columns as wide as their widest cell: the first `left` of them flush left, the others right.
std::string aligned(const std::vector<Row>& rows, std::size_t left) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const Row& row : rows) {
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const Row& row : rows) {
    std::string line = " ";
    for (std::size_t i = 0; i < row.size(); ++i) {
      const std::string space(widths[i] - row[i].size(), ' ');
      line += concat("  ", i < left ? row[i] + space : space + row[i]);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

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
  return "Memory of a rank at the peak of a step\n" + aligned(rows, 1) + note;
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
  return "\nCommunication of a rank in a step\n" + aligned(rows, 2);
}

}  // namespace

std::string forecast_table(const Forecast& forecast) {
  const mesh::Degrees& d = forecast.degrees;
  return concat(
      forecast.model, " ", forecast.flavor, ", ", tools::with_thousands(forecast.total_parameters),
      " parameters, on ", tools::with_thousands(forecast.world_size), " rank",
      forecast.world_size == 1 ? "" : "s", ": pp=", d.pp, ", dp_replicate=", d.dp_replicate,
      ", dp_shard=", d.dp_shard, ", cp=", d.cp, ", tp=", d.tp, ", ep=", d.ep, ", etp=", d.etp,
      "\nA rank's step: ", forecast.microbatches, " x ", forecast.local_batch_size, " x ",
      forecast.seq_len, " tokens, kernels of a ", forecast.kernels == "gpu" ? "GPU" : "CPU", "\n\n",
      memory_table(forecast), alternatives_table(forecast), communication_table(forecast));
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
