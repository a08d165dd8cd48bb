#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace titan::config {

/// The candidate that `word` most likely meant, or an empty view when none is near. Case and the
/// difference between '-' and '_' do not count; the first of equally near ones wins.
std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates);

/// "; did you mean 'seq_len'?", or nothing when no candidate is near.
std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates);

/// The same for names in sections, as "training.seq_len". One whose last part exists in other
/// sections only is found there, however far the sections' names are apart.
std::string did_you_mean_in_sections(std::string_view full_name,
                                     std::span<const std::string_view> full_names);

}  // namespace titan::config
