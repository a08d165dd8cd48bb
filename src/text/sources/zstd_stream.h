#pragma once

#include <memory>

#include "text/sources/compressed_stream.h"

struct ZSTD_DCtx_s;  // libzstd's ZSTD_DCtx

namespace titan::text {

/// Zstandard (RFC 8878): one frame or several behind each other. A frame may ask for a window of up
/// to 128 MiB, which is what `zstd --long` writes.
class ZstdStream final : public CompressedStream {
 public:
  explicit ZstdStream(std::unique_ptr<base::ReadableFile> file);

 private:
  struct FreeContext {
    void operator()(ZSTD_DCtx_s* context) const;
  };

  std::size_t decompress(std::span<char> out) override;
  void restart() override;

  std::unique_ptr<ZSTD_DCtx_s, FreeContext> context_;
  bool in_frame_ = false;
};

}  // namespace titan::text
