#include "text/sources/zstd_stream.h"

#include <zstd.h>
#include <zstd_errors.h>

#include <new>
#include <utility>

#include "titan/base/errors.h"
#include "titan/base/file_system.h"

namespace titan::text {
namespace {

constexpr int kMaxWindowBits = 27;

}  // namespace

void ZstdStream::FreeContext::operator()(ZSTD_DCtx_s* context) const { ZSTD_freeDCtx(context); }

ZstdStream::ZstdStream(std::unique_ptr<base::ReadableFile> file)
    : CompressedStream(std::move(file), "zstd"), context_(ZSTD_createDCtx()) {
  if (!context_) throw std::bad_alloc();
  ZSTD_DCtx_setParameter(context_.get(), ZSTD_d_windowLogMax, kMaxWindowBits);
}

void ZstdStream::restart() {
  ZSTD_DCtx_reset(context_.get(), ZSTD_reset_session_only);
  in_frame_ = false;
}

std::size_t ZstdStream::decompress(std::span<char> out) {
  ZSTD_outBuffer output{out.data(), out.size(), 0};
  while (output.pos == 0) {
    const std::span<const char> in = input();
    if (in.empty() && at_front()) fail("the file is empty");
    if (in.empty() && !in_frame_) return 0;
    ZSTD_inBuffer rest{in.data(), in.size(), 0};
    const std::size_t result = ZSTD_decompressStream(context_.get(), &output, &rest);
    use_input(rest.pos);
    if (ZSTD_isError(result)) {
      const ZSTD_ErrorCode code = ZSTD_getErrorCode(result);
      if (code == ZSTD_error_memory_allocation) throw std::bad_alloc();
      if (code == ZSTD_error_frameParameter_windowTooLarge) {
        fail("it needs a window of more than 128 MiB; compress it with --long=27 or less");
      }
      fail(ZSTD_getErrorName(result));
    }
    in_frame_ = result != 0;
    if (in.empty() && output.pos == 0) fail("the file ends too early");
  }
  return output.pos;
}

}  // namespace titan::text
