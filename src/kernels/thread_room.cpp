#include "kernels/thread_room.h"

#include <array>
#include <cstdlib>
#include <memory>
#include <new>

namespace titan::kernels {

namespace {

constexpr std::int64_t kLine = 64;

struct Free {
  void operator()(std::uint8_t* bytes) const { std::free(bytes); }
};
struct Bytes {
  std::unique_ptr<std::uint8_t, Free> data;
  std::int64_t size = 0;
};

}  // namespace

std::uint8_t* thread_room(Room room, std::int64_t bytes) {
  thread_local std::array<Bytes, 3> rooms;
  Bytes& own = rooms.at(static_cast<std::size_t>(room));
  if (own.size < bytes) {
    const std::int64_t size = (bytes + kLine - 1) / kLine * kLine;
    own = {};  // before it is made anew, so that there is never room for both
    own.data.reset(
        static_cast<std::uint8_t*>(std::aligned_alloc(kLine, static_cast<std::size_t>(size))));
    if (!own.data) throw std::bad_alloc();
    own.size = size;
  }
  return own.data.get();
}

}  // namespace titan::kernels
