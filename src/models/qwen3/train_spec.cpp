#include "titan/models/qwen3/train_spec.h"

#include "titan/models/qwen3/model.h"
#include "titan/models/qwen3/state_dict_adapter.h"
#include "titan/pipeline/stages.h"
#include "titan/protocols/language_model_spec.h"

namespace titan::models::qwen3 {

protocols::TrainSpec train_spec(const protocols::TextBuilders& builders) {
  auto spec =
      protocols::language_model_spec<Qwen3ModelArgs, Qwen3Model, Qwen3StateDictAdapter>(builders);
  spec.model_args = flavors();
  spec.parallelize = parallelize_qwen3;
  spec.pipelining = pipeline::make_stages;
  return spec;
}

}  // namespace titan::models::qwen3
