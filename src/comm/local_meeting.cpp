#include "comm/local_meeting.h"

#include <stdexcept>

#include "titan/base/errors.h"
#include "titan/base/patience.h"

namespace titan::comm {

std::shared_ptr<LocalMeeting::Round> LocalMeeting::arrive(std::uint64_t round, std::size_t place,
                                                          at::Tensor input,
                                                          std::vector<std::int64_t> splits) {
  HandedOver handed(std::move(input));
  const std::lock_guard lock(mutex_);
  std::shared_ptr<Round>& slot = rounds_[round];
  if (!slot) {
    slot = std::make_shared<Round>();
    slot->inputs.resize(size_);
    slot->splits.resize(size_);
  }
  const std::shared_ptr<Round> mine = slot;
  mine->inputs[place] = std::move(handed);
  mine->splits[place] = std::move(splits);
  if (++mine->arrived == size_) {
    rounds_.erase(round);  // those who wait hold on to it
    changed_.notify_all();
  }
  return mine;
}

template <class Ready>
void LocalMeeting::wait_until(std::unique_lock<std::mutex>& lock, std::chrono::milliseconds timeout,
                              Ready ready) {
  base::Patience patience(timeout);
  const auto done = [&] { return ready() || !aborted_.empty(); };
  while (!changed_.wait_for(lock, patience.until_next_question(), done)) {
    if (patience.is_over()) {
      throw std::runtime_error(concat("timed out after ", timeout.count(), " ms"));
    }
  }
  if (!ready()) throw std::runtime_error(aborted_);
}

void LocalMeeting::wait_for_all(const Round& round, std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  wait_until(lock, timeout, [&] { return round.arrived == size_; });
}

void LocalMeeting::post(std::size_t from, std::size_t to, at::Tensor message) {
  HandedOver handed(std::move(message));
  const std::lock_guard lock(mutex_);
  Mailbox& mailbox = mailboxes_[{from, to}];
  mailbox.messages[mailbox.posted++] = std::move(handed);
  changed_.notify_all();
}

std::uint64_t LocalMeeting::next_receive(std::size_t from, std::size_t to) {
  const std::lock_guard lock(mutex_);
  return mailboxes_[{from, to}].received++;
}

HandedOver LocalMeeting::take(std::size_t from, std::size_t to, std::uint64_t number,
                              std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  Mailbox& mailbox = mailboxes_[{from, to}];
  wait_until(lock, timeout, [&] { return mailbox.messages.count(number) > 0; });
  return std::move(mailbox.messages.extract(number).mapped());
}

void LocalMeeting::abort(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (aborted_.empty()) aborted_ = reason;
  changed_.notify_all();
}

}  // namespace titan::comm
