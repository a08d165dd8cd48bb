#pragma once

#include <memory>
#include <string_view>

#include "text/sources/byte_stream.h"

namespace titan::base {
class ReadableFile;
}

namespace titan::text {

/// Whether a name says that the file is compressed: ".gz" or ".zst".
bool is_compressed(std::string_view name);
/// `name` without ".gz" or ".zst".
std::string_view without_compression(std::string_view name);

/// The content of `file`: gzip or zstd when its name ends so, else the bytes as they are.
std::unique_ptr<ByteStream> make_byte_stream(std::unique_ptr<base::ReadableFile> file);

}  // namespace titan::text
