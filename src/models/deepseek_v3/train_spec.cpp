#include "titan/models/deepseek_v3/train_spec.h"

#include "titan/models/deepseek_v3/model.h"
#include "titan/models/deepseek_v3/state_dict_adapter.h"
#include "titan/pipeline/stages.h"
#include "titan/protocols/language_model_spec.h"

namespace titan::models::deepseek_v3 {

protocols::TrainSpec train_spec(const protocols::TextBuilders& builders) {
  auto spec =
      protocols::language_model_spec<DeepSeekV3ModelArgs, Transformer, DeepSeekV3StateDictAdapter>(
          builders);
  spec.model_args = flavors();
  spec.parallelize = parallelize_deepseekv3;
  spec.pipelining = pipeline::make_stages;
  return spec;
}

}  // namespace titan::models::deepseek_v3
