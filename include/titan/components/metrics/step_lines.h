#pragma once

#include <cstdint>
#include <string>

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// Makes way in a file of JSON lines, `metrics.jsonl` say, for a run that writes `first_step` and later
/// ones; 0 for a run that begins. Lines of such steps are another run's, or those of a run that was
/// killed or gone back from: they are moved to `metrics.1.jsonl`, or the next number that is free, and
/// the log says so. What a killed run has left of a line is removed. Does nothing where there is no file,
/// or no regular one. Throws RunError.
void set_aside_steps_from(base::FileSystem& files, const std::string& path,
                          std::int64_t first_step);

}  // namespace titan::components
