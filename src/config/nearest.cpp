#include "config/nearest.h"

#include <algorithm>
#include <cctype>

#include "titan/base/errors.h"

namespace titan::config {
namespace {

/// Longer words are no typing mistakes, and the distance takes quadratic time.
constexpr std::size_t kMaxLength = 100;

std::string folded(std::string_view word) {
  std::string text(word);
  std::ranges::transform(text, text.begin(), [](unsigned char c) {
    return c == '-' ? '_' : static_cast<char>(std::tolower(c));
  });
  return text;
}

/// Insertions, deletions, substitutions and swaps of neighbours that turn `a` into `b` (optimal
/// string alignment).
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> before_last(b.size() + 1), last(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) {
    row[j] = j;
  }
  for (std::size_t i = 1; i <= a.size(); ++i) {
    before_last.swap(last);
    last.swap(row);
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      row[j] = std::min({last[j] + 1, row[j - 1] + 1, last[j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) {
        row[j] = std::min(row[j], before_last[j - 2] + 1);
      }
    }
  }
  return row[b.size()];
}

std::string question(std::string_view candidate) {
  return candidate.empty() ? "" : concat("; did you mean '", candidate, "'?");
}

std::string_view last_component(std::string_view full_name) {
  return full_name.substr(full_name.rfind('.') + 1);
}

/// The nearest candidate fewer than `limit` edits away.
std::string_view nearest_below(std::size_t limit, std::string_view word,
                               std::span<const std::string_view> candidates) {
  if (word.size() > kMaxLength) {
    return {};
  }
  const std::string wanted = folded(word);
  std::string_view best;
  for (const std::string_view candidate : candidates) {
    const std::size_t distance = edit_distance(wanted, folded(candidate));
    if (distance < limit) {
      best = candidate;
      limit = distance;
    }
  }
  return best;
}

}  // namespace

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  return nearest_below(std::max<std::size_t>(2, word.size() / 3 + 1), word, candidates);
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates) {
  return question(nearest(word, candidates));
}

std::string did_you_mean_in_sections(std::string_view full_name,
                                     std::span<const std::string_view> full_names) {
  const std::string wanted = folded(last_component(full_name));
  std::vector<std::string_view> same_name;
  for (const std::string_view candidate : full_names) {
    if (last_component(candidate) == wanted) same_name.push_back(candidate);
  }
  if (same_name.empty()) return did_you_mean(full_name, full_names);
  return question(nearest_below(kMaxLength, full_name, same_name));
}

}  // namespace titan::config
