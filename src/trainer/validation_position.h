#pragma once

#include <cstdint>

#include "titan/components/checkpoint/stateful.h"
#include "titan/protocols/validator.h"

namespace titan::trainer {

/// Where validations stand that take `validation.steps` batches each and go on from one to the next, so
/// that a run that goes on from a checkpoint validates on the batches on which it would have without the
/// break.
class ValidationPosition {
 public:
  /// `data` is the validator's and outlives the object.
  explicit ValidationPosition(protocols::DataLoader& data)
      : data_(data), progress_{data.position()} {}

  protocols::DataLoader& data() { return data_; }
  /// For checkpoints.
  components::ValidationProgress& progress() { return progress_; }

  /// The validation of `step` was whole.
  void validated(std::int64_t step) { progress_ = {data_.position(), step}; }

  /// The run goes on behind `step`. The checkpoint of a step is saved before its validation: what that
  /// reads is left out. `steps`: validation.steps.
  void go_on_behind(std::int64_t step, const protocols::Validator& validator, std::int64_t steps);

 private:
  protocols::DataLoader& data_;
  components::ValidationProgress progress_;
};

}  // namespace titan::trainer
