#include <nlohmann/json.hpp>

#include "titan/forecast/forecast.h"

namespace titan::forecast {
namespace {

using Json = nlohmann::ordered_json;

Json to_json(const MemoryFigures& memory) {
  return {{"activation_checkpoint", memory.activation_checkpoint},
          {"parameters", memory.parameters},
          {"gradients", memory.gradients},
          {"optimizer_state", memory.optimizer_state},
          {"communication_buffers", memory.communication_buffers},
          {"activations", memory.activations},
          {"host", memory.host},
          {"peak", memory.peak}};
}

Json to_json(const Communication& sum) {
  return {{"mesh", sum.mesh},   {"operation", sum.operation},       {"ranks", sum.ranks},
          {"calls", sum.calls}, {"tensor_bytes", sum.tensor_bytes}, {"sent_bytes", sum.sent_bytes}};
}

Json to_json(const PipelineRank& rank) {
  return {{"stages", rank.stages},
          {"microbatches_in_flight", rank.in_flight},
          {"bytes", to_json(rank.memory)},
          {"sent_bytes", rank.sent_bytes}};
}

}  // namespace

std::string forecast_json(const Forecast& forecast) {
  const mesh::Degrees& degrees = forecast.degrees;
  Json json = {{"model", forecast.model},
               {"flavor", forecast.flavor},
               {"parameters", forecast.total_parameters},
               {"world_size", forecast.world_size},
               {"layout",
                {{"pp", degrees.pp},
                 {"dp_replicate", degrees.dp_replicate},
                 {"dp_shard", degrees.dp_shard},
                 {"cp", degrees.cp},
                 {"tp", degrees.tp},
                 {"ep", degrees.ep},
                 {"etp", degrees.etp}}},
               {"local_batch_size", forecast.local_batch_size},
               {"seq_len", forecast.seq_len},
               {"microbatches", forecast.microbatches},
               {"kernels", forecast.kernels}};
  json["bytes_per_rank"] = to_json(forecast.memory.front());
  if (!forecast.pipeline.empty()) {
    json["largest_pipeline_rank"] = forecast.largest;
    json["pipeline"] = Json::array();
    for (const PipelineRank& rank : forecast.pipeline) json["pipeline"].push_back(to_json(rank));
  }
  json["by_activation_checkpoint"] = Json::array();
  for (const MemoryFigures& memory : forecast.memory) {
    json["by_activation_checkpoint"].push_back(to_json(memory));
  }
  json["alternatives"] = Json::array();
  for (const Alternative& other : forecast.alternatives) {
    json["alternatives"].push_back({{"change", other.change}, {"peak", other.peak}});
  }
  json["communication_per_step"] = Json::array();
  for (const Communication& sum : forecast.communication) {
    json["communication_per_step"].push_back(to_json(sum));
  }
  return json.dump(2) + "\n";
}

}  // namespace titan::forecast
