#pragma once

#include <string>

namespace titan::base {
class FileSystem;
}

namespace titan::components {

/// The file whose presence makes a folder a checkpoint.
inline constexpr const char* kMetadataFile = ".metadata";

/// Makes a folder of checkpoints and throws RunError where nothing can be written to it, before hours of
/// training are.
void check_writable(base::FileSystem& files, const std::string& folder);

/// Makes the folder if need be, durably. What an earlier save left in it ceases to be a checkpoint,
/// durably, before its files are removed.
void prepare_checkpoint_folder(base::FileSystem& files, const std::string& folder);

/// Makes a checkpoint of the folder, whose other files are durable. When it throws, the folder may
/// be one or not.
void commit_checkpoint_folder(base::FileSystem& files, const std::string& folder,
                              const std::string& metadata);

/// After a save that failed: returns whether the folder is certainly no checkpoint. Throws nothing.
bool discard_checkpoint(base::FileSystem& files, const std::string& folder);

}  // namespace titan::components
