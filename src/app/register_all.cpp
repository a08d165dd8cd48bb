#include "titan/app/register_all.h"

#include "app/text_builders.h"
#include "titan/components/quantization/converters.h"
#include "titan/models/llama3/train_spec.h"

namespace titan::app {

void register_all() {
  static const bool registered = [] {
    protocols::register_train_spec("llama3", models::llama3::train_spec(text_builders()));
    components::register_quantization();
    return true;
  }();
  static_cast<void>(registered);
}

}  // namespace titan::app
