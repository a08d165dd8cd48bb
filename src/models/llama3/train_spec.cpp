#include "titan/models/llama3/train_spec.h"

#include "titan/models/llama3/model.h"
#include "titan/models/llama3/state_dict_adapter.h"
#include "titan/pipeline/stages.h"
#include "titan/protocols/language_model_spec.h"

namespace titan::models::llama3 {

protocols::TrainSpec train_spec(const protocols::TextBuilders& builders) {
  auto spec =
      protocols::language_model_spec<TransformerModelArgs, Transformer, LlamaStateDictAdapter>(
          builders);
  spec.model_args = flavors();
  spec.parallelize = parallelize_llama;
  spec.pipelining = pipeline::make_stages;
  return spec;
}

}  // namespace titan::models::llama3
