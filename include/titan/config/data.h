#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "titan/config/choice.h"
#include "titan/config/data_format.h"
#include "titan/config/mixture_part.h"

namespace titan::config {

template <class Section>
class Describer;

/// Where the data set `c4_test` is, if its path does not say otherwise: in a clone of this repository.
inline constexpr std::string_view kShippedData = "tests/assets/c4_test";

/// What to do with a row that cannot be read.
enum class OnBadRow { kStop, kSkip };
constexpr auto words(OnBadRow) { return word_list("stop", "skip"); }

/// [data]: how text and tokens are read, for training and validation. Not in the Python original.
struct Data {
  DataFormat format = DataFormat::kAuto;
  std::string text_field = "text";
  std::optional<std::string> prompt_field;
  std::string response_field = "response";
  bool shuffle = false;
  bool document_mask = false;
  OnBadRow on_bad_row = OnBadRow::kStop;
  std::int64_t max_bad_rows = 100;
  double stall_warning_seconds = 30;
  std::vector<MixturePart> mixture;

  static void describe(Describer<Data>& option);
  bool operator==(const Data&) const = default;
};

}  // namespace titan::config
