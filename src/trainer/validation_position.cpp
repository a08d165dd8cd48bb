#include "trainer/validation_position.h"

#include "titan/components/validate/validate.h"

namespace titan::trainer {

void ValidationPosition::go_on_behind(std::int64_t step, const protocols::Validator& validator,
                                      std::int64_t steps) {
  if (!progress_.restored || step == 0 || progress_.step == step) return;
  if (!validator.should_validate(step)) return;
  components::skip_validation(data_, steps);
  validated(step);
}

}  // namespace titan::trainer
