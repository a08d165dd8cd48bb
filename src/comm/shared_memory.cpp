#include "comm/shared_memory.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <string>
#include <utility>

#include "titan/base/errors.h"

namespace titan::comm {

namespace {

/// Null where it cannot be mapped, or there is no such file.
std::byte* mapped(int file, std::size_t bytes) {
  if (file < 0) return nullptr;
  void* const data = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

}  // namespace

std::optional<SharedMemory> SharedMemory::make(std::size_t bytes) {
  const int file = ::memfd_create("titan_train", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (file < 0) return std::nullopt;
  // Who could make it shorter would end the others with a bus error.
  std::byte* data = nullptr;
  if (::ftruncate(file, static_cast<off_t>(bytes)) == 0 &&
      ::fcntl(file, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0) {
    data = mapped(file, bytes);
  }
  if (data != nullptr) return SharedMemory(file, data, bytes);
  const int reason = errno;
  ::close(file);
  errno = reason;
  return std::nullopt;
}

std::optional<SharedMemory> SharedMemory::of_process(pid_t process, int file, std::size_t bytes) {
  const std::string path = concat("/proc/", process, "/fd/", file);
  struct stat status {};
  // Another kind of file, as of a process of the same number elsewhere, is not even opened.
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode) ||
      status.st_size != static_cast<off_t>(bytes)) {
    return std::nullopt;
  }
  // Open files are few, and others have made many more memories than this process.
  const int opened = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  std::byte* const data = mapped(opened, bytes);
  if (opened >= 0) ::close(opened);
  if (data == nullptr) return std::nullopt;
  return SharedMemory(-1, data, bytes);
}

SharedMemory::SharedMemory(SharedMemory&& other) noexcept
    : file_(std::exchange(other.file_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      size_(other.size_) {}

SharedMemory::~SharedMemory() {
  if (data_ != nullptr) ::munmap(data_, size_);
  if (file_ >= 0) ::close(file_);
}

OtherProcess::OtherProcess(pid_t id)
    : id_(id), file_(static_cast<int>(::syscall(SYS_pidfd_open, id, 0))) {}

OtherProcess::~OtherProcess() {
  if (file_ >= 0) ::close(file_);
}

bool OtherProcess::has_ended() const {
  if (file_ < 0) return ::kill(id_, 0) != 0 && errno == ESRCH;
  pollfd asked{file_, POLLIN, 0};
  return ::poll(&asked, 1, 0) > 0;
}

}  // namespace titan::comm
