#pragma once

namespace titan::parallel {

/// While it lives, FSDP objects made on this thread keep, or do not keep, the memory that they are done
/// with for the next use. Without one they keep it on a CPU only: a GPU's allocator does that itself. For
/// forecasts of another device than the one at hand.
class BufferKeepingScope {
 public:
  explicit BufferKeepingScope(bool keeps);
  ~BufferKeepingScope();
  BufferKeepingScope(const BufferKeepingScope&) = delete;
  BufferKeepingScope& operator=(const BufferKeepingScope&) = delete;

 private:
  int outer_;
};

}  // namespace titan::parallel
