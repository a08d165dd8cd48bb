#pragma once

#include <string>

namespace titan::base {

/// The text of Python's `repr(value)`: the fewest digits that read back as the same double, with
/// an exponent below 1e-4 and from 1e16 on ("0.0004", "1e-05", "2.0", "1e+16", "nan", "-inf").
std::string shortest(double value);

/// A JSON number: `shortest(value)`, or `null` for NaN and infinities, which JSON cannot say.
std::string json_number(double value);

}  // namespace titan::base
