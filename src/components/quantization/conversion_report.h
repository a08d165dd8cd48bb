#pragma once

#include <string>

#include "titan/comm/rank_context.h"
#include "titan/components/quantization/converters.h"

namespace titan::components {

/// What a converter says, once in a job: pipelines convert the whole model for every stage.
class ConversionReport {
 public:
  /// `what` it converts ("linear layers") and the option that has parts of their names.
  ConversionReport(const comm::RankContext& context, const char* what, const char* option)
      : what_(what), option_(option), is_told_(context.rank != 0) {}

  /// How many train `how` now, which ones do not, and why. Warns of names that match nothing, and where nothing was converted.
  void tell(const std::string& how, const Selection& selection);

 private:
  const char* what_;
  const char* option_;
  bool is_told_;
};

}  // namespace titan::components
