#include "components/metrics/sidecar_feed.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <utility>

#include "titan/base/errors.h"

namespace titan::components {
namespace {

constexpr std::size_t kLongestAnswer = 4096;

}  // namespace

SidecarFeed::SidecarFeed(const SidecarProcess::Program& program, std::size_t queue_bytes,
                         Listener listener)
    : queue_bytes_(queue_bytes),
      listener_(std::move(listener)),
      process_(program),
      wake_event_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (wake_event_ == -1) throw RunError("cannot create an eventfd");
  thread_ = std::thread([this] { run(); });
}

SidecarFeed::~SidecarFeed() {
  {
    const std::lock_guard lock(mutex_);
    left_behind_ = true;
  }
  wake();
  thread_.join();
  ::close(wake_event_);
}

bool SidecarFeed::offer(std::string line) {
  {
    const std::lock_guard lock(mutex_);
    if (ended_) return true;
    if (queued_bytes_ + line.size() > queue_bytes_) return false;
    queued_bytes_ += line.size();
    queue_.push_back(std::move(line));
  }
  wake();
  return true;
}

void SidecarFeed::finish(std::string last_line) {
  {
    const std::lock_guard lock(mutex_);
    queued_bytes_ += last_line.size();
    queue_.push_back(std::move(last_line));
    finishing_ = true;
  }
  wake();
}

bool SidecarFeed::wait(double seconds) {
  std::unique_lock lock(mutex_);
  return ended_changed_.wait_for(lock, std::chrono::duration<double>(seconds),
                                 [this] { return ended_; });
}

std::size_t SidecarFeed::waiting_lines() {
  const std::lock_guard lock(mutex_);
  return queue_.size();
}

void SidecarFeed::wake() {
  const std::uint64_t one = 1;
  [[maybe_unused]] const ssize_t written = ::write(wake_event_, &one, sizeof one);
}

void SidecarFeed::run() {
  while (true) {
    {
      const std::lock_guard lock(mutex_);
      if (left_behind_) return;
    }
    const bool has_lines = prepare_write();
    std::array<pollfd, 3> files = {{{wake_event_, POLLIN, 0},
                                    {process_.answers(), POLLIN, 0},
                                    {has_lines ? process_.input() : -1, POLLOUT, 0}}};
    if (::poll(files.data(), files.size(), -1) == -1) continue;  // a signal came
    std::uint64_t wakes = 0;
    [[maybe_unused]] const ssize_t drained = ::read(wake_event_, &wakes, sizeof wakes);
    if (files[2].revents != 0) write_some();
    if (files[1].revents != 0 && !read_answers()) break;
  }
  reap();
}

/// Whether there is something to write. After the last line the process sees its input end.
bool SidecarFeed::prepare_write() {
  const std::lock_guard lock(mutex_);
  if (queue_.empty() && finishing_) process_.close_input();
  return !queue_.empty();
}

void SidecarFeed::write_some() {
  const std::lock_guard lock(mutex_);  // never long: the pipe does not block
  while (!queue_.empty()) {
    const std::string& line = queue_.front();
    const ssize_t count = ::write(process_.input(), line.data() + written_, line.size() - written_);
    if (count == -1 && (errno == EAGAIN || errno == EINTR)) return;
    if (count == -1) {  // it closed its end: its answers will tell why, or end
      process_.close_input();
      queue_.clear();
      queued_bytes_ = 0;
      return;
    }
    written_ += static_cast<std::size_t>(count);
    if (written_ == line.size()) {
      queued_bytes_ -= line.size();
      queue_.pop_front();
      written_ = 0;
    }
  }
}

/// False at the end of the answers, which is the end of the process.
bool SidecarFeed::read_answers() {
  std::array<char, 4096> buffer;
  const ssize_t count = ::read(process_.answers(), buffer.data(), buffer.size());
  if (count == -1) return errno == EAGAIN || errno == EINTR;
  for (ssize_t i = 0; i < count; ++i) {
    const char c = buffer[static_cast<std::size_t>(i)];
    if (c == '\n') {
      listener_.answered(std::exchange(answer_, ""));
    } else if (answer_.size() < kLongestAnswer) {
      answer_ += static_cast<unsigned char>(c) < ' ' ? ' ' : c;
    }
  }
  return count > 0;
}

void SidecarFeed::reap() {
  // The pipe closes a moment before the process is gone.
  std::optional<std::string> how = process_.ended();
  for (int tries = 0; !how && tries < 500; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    how = process_.ended();
  }
  listener_.ended(how.value_or("it closed its output and runs on"));
  {
    const std::lock_guard lock(mutex_);
    ended_ = true;
    queue_.clear();
    queued_bytes_ = 0;
  }
  ended_changed_.notify_all();
}

}  // namespace titan::components
