#include "support/rehearsal/machine.h"

#include <stdexcept>
#include <utility>

#include "titan/base/errors.h"

namespace titan::test::rehearsal {

Machine& Machine::instance() {
  // Never destroyed: tensors of static objects outlive main.
  static auto* machine = new Machine();
  return *machine;
}

StreamId Machine::new_stream(int device) {
  const std::lock_guard lock(mutex_);
  return {device, ++streams_[static_cast<std::size_t>(device)]};
}

void Machine::enqueue(StreamId stream, std::function<void()> work) {
  const std::lock_guard lock(mutex_);
  const auto capture = captures_.find(stream);
  if (capture != captures_.end()) return capture->second.work.push_back(std::move(work));
  Queue& queue = queues_[stream];
  queue.items.push_back({std::move(work), {}, nullptr, nullptr});
  ++queue.enqueued;
}

Moment Machine::now(StreamId stream) {
  const std::lock_guard lock(mutex_);
  return {stream, queues_[stream].enqueued, captures_.contains(stream)};
}

void Machine::begin_capture(StreamId stream, int pool) {
  const std::lock_guard lock(mutex_);
  check_not_captured(stream, "another capture began");
  captures_[stream].pool = pool;
}

std::vector<std::function<void()>> Machine::end_capture(StreamId stream) {
  const std::lock_guard lock(mutex_);
  return std::move(captures_.extract(stream).mapped().work);
}

int Machine::capture_pool(StreamId stream) const {
  const std::lock_guard lock(mutex_);
  const auto capture = captures_.find(stream);
  return capture == captures_.end() ? 0 : capture->second.pool;
}

void Machine::check_not_captured(StreamId stream, const char* what) const {
  if (captures_.contains(stream)) throw std::runtime_error(concat("in a capture ", what));
}

void Machine::order(StreamId stream, Moment moment) {
  if (stream == moment.stream) return;
  const std::lock_guard lock(mutex_);
  check_not_captured(stream, "its stream was to wait for another");
  check_not_captured(moment.stream, "another stream was to wait for its");
  if (moment.is_captured)
    throw std::runtime_error("a stream was to wait for a moment of a capture");
  Queue& queue = queues_[stream];
  queue.items.push_back({nullptr, moment, nullptr, nullptr});
  ++queue.enqueued;
}

void Machine::meet(StreamId stream, const std::string& group, std::uint64_t number,
                   std::size_t place, std::size_t size, std::shared_ptr<void> contribution,
                   std::function<void(Meeting&)> perform) {
  const std::lock_guard lock(mutex_);
  check_not_captured(stream, "a collective began");
  std::shared_ptr<Meeting>& slot = meetings_[{group, number}];
  if (!slot) {
    slot = std::make_shared<Meeting>();
    slot->name = concat("collective ", number, " of ", group);
    slot->members.resize(size);
    slot->perform = std::move(perform);
  }
  const std::shared_ptr<Meeting> meeting = slot;
  Queue& queue = queues_[stream];
  meeting->members.at(place) = {true, {stream, queue.enqueued}, std::move(contribution)};
  queue.items.push_back({nullptr, {}, meeting, nullptr});
  ++queue.enqueued;
  if (++meeting->arrived == size) meetings_.erase({group, number});
  came_.notify_all();
}

/// The same for both sides, whoever comes first.
std::shared_ptr<Parcel> Machine::parcel(const std::string& channel, std::uint64_t number) {
  std::shared_ptr<Parcel>& slot = parcels_[{channel, number}];
  if (!slot) {
    slot = std::make_shared<Parcel>();
    return slot;
  }
  return std::move(parcels_.extract({channel, number}).mapped());
}

void Machine::post(StreamId stream, Moment place, const std::string& channel, std::uint64_t number,
                   std::function<std::shared_ptr<void>()> pack) {
  const std::lock_guard lock(mutex_);
  check_not_captured(stream, "something was sent");
  const std::shared_ptr<Parcel> sent = parcel(channel, number);
  sent->is_posted = true;
  sent->place = place;
  sent->pack = [sent = sent.get(), pack = std::move(pack)] {
    if (sent->content == nullptr) sent->content = pack();
  };
  Queue& queue = queues_[stream];
  queue.items.push_back({[sent] { sent->pack(); }, {}, nullptr, nullptr});
  ++queue.enqueued;
  came_.notify_all();
}

void Machine::take(StreamId stream, const std::string& channel, std::uint64_t number,
                   std::function<void(const std::shared_ptr<void>&)> unpack) {
  const std::lock_guard lock(mutex_);
  check_not_captured(stream, "something was received");
  const std::shared_ptr<Parcel> received = parcel(channel, number);
  Queue& queue = queues_[stream];
  queue.items.push_back({[received, unpack = std::move(unpack)] { unpack(received->content); },
                         {},
                         nullptr,
                         received});
  ++queue.enqueued;
}

void Machine::synchronize(Moment moment) {
  count_synchronization(moment.stream.device);
  Lock lock(mutex_);
  check_not_captured(moment.stream, "the host waited for its stream");
  if (moment.is_captured) throw std::runtime_error("the host waited for a moment of a capture");
  wait_for(lock, moment, /*may_wait=*/true);
}

void Machine::synchronize_device(int device) {
  count_synchronization(device);
  Lock lock(mutex_);
  std::vector<Moment> ends;
  for (const auto& [stream, capture] : captures_) {
    if (stream.device == device) check_not_captured(stream, "the host waited for its device");
  }
  for (const auto& [stream, queue] : queues_) {
    if (stream.device == device) ends.push_back({stream, queue.enqueued});
  }
  for (const Moment& end : ends) wait_for(lock, end, /*may_wait=*/true);
}

bool Machine::is_done(Moment moment) {
  Lock lock(mutex_);
  check_not_captured(moment.stream, "the host asked what is done");
  const bool done = queues_[moment.stream].done >= moment.position;
  return done || wait_for(lock, moment, /*may_wait=*/false);
}

bool Machine::wait_for(Lock& lock, Moment moment, bool may_wait) {
  access(true);
  try {
    const bool done = run_to(lock, moment, may_wait);
    access(false);
    return done;
  } catch (...) {
    access(false);
    throw;
  }
}

/// Others may run the same queue whenever the lock is let go of, which only a wait for ranks does.
bool Machine::run_to(Lock& lock, Moment moment, bool may_wait) {
  Queue& queue = queues_[moment.stream];
  while (queue.done < moment.position) {
    const std::uint64_t position = queue.done;
    const Item& next = queue.items.front();
    if (next.after.position > 0) {
      const Moment after = next.after;
      if (!run_to(lock, after, may_wait)) return false;
    } else if (next.meeting != nullptr && !next.meeting->is_over) {
      const std::shared_ptr<Meeting> meeting = next.meeting;
      if (!hold(lock, *meeting, may_wait)) return false;
    } else if (next.parcel != nullptr && next.parcel->content == nullptr) {
      const std::shared_ptr<Parcel> awaited = next.parcel;
      if (!receive(lock, *awaited, may_wait)) return false;
    }
    if (queue.done != position) continue;
    const std::function<void()> work = std::move(queue.items.front().work);
    queue.items.pop_front();
    ++queue.done;
    if (work) work();
  }
  return true;
}

bool Machine::hold(Lock& lock, Meeting& meeting, bool may_wait) {
  const auto all_are_here = [&] { return meeting.arrived == meeting.members.size(); };
  if (!all_are_here()) {
    if (!may_wait) return false;
    await(lock, all_are_here, [&] {
      std::string missing;
      for (std::size_t i = 0; i < meeting.members.size(); ++i) {
        if (!meeting.members[i].has_come) missing += concat(missing.empty() ? "" : ", ", i);
      }
      return concat(meeting.name, " timed out: ranks that have not come: ", missing);
    });
  }
  for (const Meeting::Member& member : meeting.members) {
    if (!run_to(lock, member.place, may_wait)) return false;
  }
  if (meeting.is_over) return true;  // somebody else's thread was faster
  meeting.is_over = true;
  meeting.perform(meeting);
  for (Meeting::Member& member : meeting.members) member.contribution = nullptr;
  return true;
}

bool Machine::receive(Lock& lock, Parcel& parcel, bool may_wait) {
  if (!parcel.is_posted) {
    if (!may_wait) return false;
    await(
        lock, [&] { return parcel.is_posted; },
        [] { return std::string("a message timed out: it was not sent"); });
  }
  if (!run_to(lock, parcel.place, may_wait)) return false;
  parcel.pack();
  return true;
}

void Machine::await(Lock& lock, const std::function<bool()>& is_there,
                    const std::function<std::string()>& what_is_missing) {
  // Whoever computes meanwhile opens the memory for itself.
  access(false);
  const bool in_time =
      came_.wait_for(lock, patience, [&] { return is_there() || !aborted_.empty(); });
  access(true);
  if (is_there()) return;
  throw std::runtime_error(in_time ? aborted_ : what_is_missing());
}

void Machine::access(bool open) {
  open_ += open ? 1 : -1;
  if (on_access && open_ == (open ? 1 : 0)) on_access(open);
}

void Machine::abort(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  if (aborted_.empty()) aborted_ = reason;
  came_.notify_all();
}

void Machine::reset() {
  const std::lock_guard lock(mutex_);
  aborted_.clear();
  meetings_.clear();
  parcels_.clear();
  captures_.clear();
  for (auto& [stream, queue] : queues_) {
    queue.items.clear();
    queue.done = queue.enqueued;
  }
}

}  // namespace titan::test::rehearsal
