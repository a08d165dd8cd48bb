#pragma once

#include <memory>

#include "text/sources/compressed_stream.h"

struct z_stream_s;  // zlib's z_stream

namespace titan::text {

/// Gzip (RFC 1952): one member or several behind each other, then maybe zero bytes as tapes and
/// some block devices leave them.
class GzipStream final : public CompressedStream {
 public:
  explicit GzipStream(std::unique_ptr<base::ReadableFile> file);

 private:
  struct EndInflate {
    void operator()(z_stream_s* state) const;
  };

  std::size_t decompress(std::span<char> out) override;
  void restart() override;
  bool begin_member();

  std::unique_ptr<z_stream_s, EndInflate> state_;
  bool in_member_ = false;
};

}  // namespace titan::text
