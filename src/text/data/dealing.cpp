#include "text/data/dealing.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "titan/base/errors.h"

namespace titan::text {
namespace {

using Hands = std::vector<std::vector<Progression>>;  // one per rank

/// More numbers than this are not looked at one by one.
constexpr std::int64_t kMostSingles = 1 << 16;
/// No data reaches as far.
constexpr std::int64_t kNeverReached = std::int64_t{1} << 40;

bool has_end(const Progression& numbers) { return numbers.end >= 0; }

/// The numbers before `end`.
Progression before(Progression numbers, std::int64_t end) {
  numbers.end = has_end(numbers) ? std::min(numbers.end, end) : end;
  return numbers;
}

std::int64_t count_all(const std::vector<Progression>& numbers) {
  std::int64_t count = 0;
  for (const Progression& each : numbers) count += count_of(each);
  return count;
}

/// Adds a number to those of a rank, all of which are smaller and of progressions made here.
void append(std::vector<Progression>& hand, std::int64_t number) {
  if (!hand.empty()) {
    Progression& last = hand.back();
    const std::int64_t greatest = last.end - 1;
    const std::int64_t step = last.begin == greatest ? number - greatest : last.step;
    if (step > 0 && number == greatest + step) {
      last.step = step;
      last.end = number + 1;
      return;
    }
  }
  hand.push_back({number, number + 1, 1});
}

Hands deal_in_turn(const std::vector<Progression>& numbers, std::int64_t ranks, std::int64_t turn) {
  std::vector<std::int64_t> all;
  for (const Progression& each : numbers) {
    for (std::int64_t number = each.begin; number < each.end; number += each.step) {
      all.push_back(number);
    }
  }
  std::ranges::sort(all);
  Hands hands(static_cast<std::size_t>(ranks));
  for (const std::int64_t number : all) {
    append(hands[static_cast<std::size_t>(turn)], number);
    turn = (turn + 1) % ranks;
  }
  return hands;
}

Hands cut(const std::vector<Progression>& numbers, std::int64_t ranks, std::int64_t turn) {
  const std::int64_t all = count_all(numbers);
  const auto share = [&](std::int64_t rank) {
    return all / ranks + ((rank - turn + ranks) % ranks < all % ranks ? 1 : 0);
  };
  Hands hands(static_cast<std::size_t>(ranks));
  std::int64_t rank = 0;
  std::int64_t room = share(0);
  for (Progression rest : numbers) {
    for (std::int64_t count = count_of(rest); count > 0;) {
      while (room == 0) room = share(++rank);
      const std::int64_t taken = std::min(room, count);
      const std::int64_t end = rest.begin + (taken - 1) * rest.step + 1;
      hands[static_cast<std::size_t>(rank)].push_back({rest.begin, end, rest.step});
      rest.begin += taken * rest.step;
      room -= taken;
      count -= taken;
    }
  }
  return hands;
}

/// Whether progressions without an end, of which no two share a number, have every number from
/// somewhere on.
bool are_all_numbers(const std::vector<Progression>& endless) {
  double density = 0;
  for (const Progression& each : endless) density += 1 / static_cast<double>(each.step);
  return std::abs(density - 1) < 1e-6;
}

Hands deal_endless(const std::vector<Progression>& numbers, std::int64_t ranks, std::int64_t turn) {
  std::vector<Progression> endless;
  std::ranges::copy_if(numbers, std::back_inserter(endless),
                       [](const Progression& each) { return !has_end(each); });
  std::int64_t threshold = 0;
  for (const Progression& each : numbers) {
    threshold = std::max(threshold, has_end(each) ? each.end : each.begin);
  }
  const bool is_whole = are_all_numbers(endless);
  std::vector<Progression> finite;
  const auto cut_at = [&](std::int64_t end) {
    finite.clear();
    for (const Progression& each : numbers) {
      if (is_whole || has_end(each)) finite.push_back(before(each, end));
    }
    return count_all(finite);
  };
  const std::int64_t uneven = cut_at(threshold) % ranks;
  if (is_whole && uneven > 0) {
    threshold += ranks - uneven;  // every number from the threshold on is there
    cut_at(threshold);
  }
  Hands hands = count_all(finite) <= kMostSingles ? deal_in_turn(finite, ranks, turn)
                                                  : cut(finite, ranks, turn);
  for (std::int64_t i = 0; i < ranks; ++i) {
    auto& hand = hands[static_cast<std::size_t>((turn + i) % ranks)];
    if (is_whole) hand.push_back({threshold + i, -1, ranks});
  }
  if (is_whole) return hands;
  for (const Progression& each : endless) {
    for (std::int64_t i = 0; i < ranks; ++i) {
      const Progression part{each.begin + i * each.step, -1,
                             std::min(each.step * ranks, kNeverReached)};
      if (part.begin >= kNeverReached) break;
      hands[static_cast<std::size_t>((turn + i) % ranks)].push_back(part);
    }
    turn = (turn + 1) % ranks;
  }
  return hands;
}

}  // namespace

std::int64_t count_of(const Progression& numbers) {
  TITAN_CHECK(has_end(numbers), "only what ends can be counted");
  if (numbers.begin >= numbers.end) return 0;
  return (numbers.end - numbers.begin - 1) / numbers.step + 1;
}

std::vector<std::vector<Progression>> deal(const std::vector<Progression>& numbers,
                                           std::int64_t ranks, std::int64_t& turn) {
  TITAN_CHECK(ranks > 0 && turn >= 0 && turn < ranks, "somebody to deal to");
  if (!std::ranges::all_of(numbers, has_end)) {
    Hands hands = deal_endless(numbers, ranks, turn);
    turn = (turn + 1) % ranks;
    return hands;
  }
  Hands hands = cut(numbers, ranks, turn);
  turn = (turn + count_all(numbers) % ranks) % ranks;
  return hands;
}

}  // namespace titan::text
