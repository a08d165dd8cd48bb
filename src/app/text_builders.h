#pragma once

#include "titan/protocols/train_spec.h"
#include "titan/text/data/text_dataset.h"

namespace titan::app {

/// The training data that a config asks for, for one rank.
text::TextDataOptions training_data(const config::JobConfig& config);

/// The validation data, for one rank: read in order, from one source, and to the end unless there is a
/// number of steps.
text::TextDataOptions validation_data(const config::JobConfig& config);

/// The components that text models share, as a train spec takes them.
protocols::TextBuilders text_builders();

}  // namespace titan::app
