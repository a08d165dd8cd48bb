#pragma once

namespace titan::app {

/// Registers the train specs of all built-in models, once. An explicit list, because a linker drops
/// static initialisers from static libraries. Your own model: call protocols::register_train_spec
/// beside it.
void register_all();

}  // namespace titan::app
