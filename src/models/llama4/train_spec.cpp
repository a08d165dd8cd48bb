#include "titan/models/llama4/train_spec.h"

#include "titan/models/llama4/model.h"
#include "titan/models/llama4/state_dict_adapter.h"
#include "titan/pipeline/stages.h"
#include "titan/protocols/language_model_spec.h"

namespace titan::models::llama4 {

protocols::TrainSpec train_spec(const protocols::TextBuilders& builders) {
  auto spec =
      protocols::language_model_spec<TransformerModelArgs, Transformer, Llama4StateDictAdapter>(
          builders);
  spec.model_args = flavors();
  spec.parallelize = parallelize_llama;
  spec.pipelining = pipeline::make_stages;
  return spec;
}

}  // namespace titan::models::llama4
