#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>

namespace titan::comm {

/// Memory that processes of one machine and one user share. It has no name in any file system and ends with its last user.
class SharedMemory {
 public:
  /// New memory, of zeros; nothing where the system has none to share, and errno says why.
  static std::optional<SharedMemory> make(std::size_t bytes);
  /// Memory that `process` has made; nothing where there is none of that size, or it may not be seen.
  static std::optional<SharedMemory> of_process(pid_t process, int file, std::size_t bytes);

  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();

  std::byte* data() const { return data_; }
  std::size_t size() const { return size_; }
  /// What other processes find memory by that this one has made, until it lets go of it.
  int file() const { return file_; }

 private:
  SharedMemory(int file, std::byte* data, std::size_t size)
      : file_(file), data_(data), size_(size) {}

  int file_;
  std::byte* data_;
  std::size_t size_;
};

/// A process that may end, seen from another one.
class OtherProcess {
 public:
  explicit OtherProcess(pid_t id);
  ~OtherProcess();
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  pid_t id() const { return id_; }
  /// A killed one has ended, also before anybody has asked how.
  bool has_ended() const;

 private:
  pid_t id_;
  int file_;
};

}  // namespace titan::comm
