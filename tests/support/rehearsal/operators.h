#pragma once

#include <set>
#include <string>

namespace titan::test::rehearsal {

/// Operators that since the last call were not queued, because their results' sizes are in the elements, or nobody knew them before: the host
/// has waited for them.
std::set<std::string> take_operators_run_at_once();

}  // namespace titan::test::rehearsal
