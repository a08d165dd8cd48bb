#include "titan/app/register_all.h"

#include "app/text_builders.h"
#include "titan/models/deepseek_v3/train_spec.h"
#include "titan/models/llama3/train_spec.h"
#include "titan/models/llama4/train_spec.h"
#include "titan/models/qwen3/train_spec.h"

namespace titan::app {

void register_all() {
  static const bool registered = [] {
    protocols::register_train_spec("deepseek_v3", models::deepseek_v3::train_spec(text_builders()));
    protocols::register_train_spec("llama3", models::llama3::train_spec(text_builders()));
    protocols::register_train_spec("llama4", models::llama4::train_spec(text_builders()));
    protocols::register_train_spec("qwen3", models::qwen3::train_spec(text_builders()));
    return true;
  }();
  static_cast<void>(registered);
}

}  // namespace titan::app
