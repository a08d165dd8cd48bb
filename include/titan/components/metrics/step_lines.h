#pragma once

#include <cstdint>
#include <string>

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// Removes from a file of JSON lines those whose "step" is `first_dropped` or later, and what a run that
/// was killed has left of a line: a run that goes on from a checkpoint writes these steps again. Does
/// nothing where there is no file. Throws RunError.
void drop_steps_from(base::FileSystem& files, const std::string& path, std::int64_t first_dropped);

}  // namespace titan::components
