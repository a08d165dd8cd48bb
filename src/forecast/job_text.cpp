#include "forecast/job_text.h"

#include "titan/base/errors.h"
#include "titan/forecast/forecast.h"
#include "titan/tools/number_text.h"

namespace titan::forecast {

std::string job_text(const Forecast& forecast) {
  const mesh::Degrees& d = forecast.degrees;
  return concat(
      forecast.model, " ", forecast.flavor, ", ", tools::with_thousands(forecast.total_parameters),
      " parameters, on ", tools::with_thousands(forecast.world_size), " rank",
      forecast.world_size == 1 ? "" : "s", ": pp=", d.pp, ", dp_replicate=", d.dp_replicate,
      ", dp_shard=", d.dp_shard, ", cp=", d.cp, ", tp=", d.tp, ", ep=", d.ep, ", etp=", d.etp,
      "\nA rank's step: ", forecast.microbatches, " x ", forecast.local_batch_size, " x ",
      forecast.seq_len, " tokens",
      d.cp == 1 ? "" : concat(", of which it has ", forecast.seq_len / d.cp, " of each text"),
      ", kernels of a ", forecast.kernels == "gpu" ? "GPU" : "CPU", "\n");
}

}  // namespace titan::forecast
