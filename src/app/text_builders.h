#pragma once

#include "titan/protocols/train_spec.h"

namespace titan::app {

/// The components that text models share, as a train spec takes them.
protocols::TextBuilders text_builders();

}  // namespace titan::app
