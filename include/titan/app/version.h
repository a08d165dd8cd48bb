#pragma once

namespace titan::app {

/// "0.1.0+1a2b3c4": the release, and the commit when built in a git clone.
const char* version();

}  // namespace titan::app
