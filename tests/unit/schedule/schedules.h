#pragma once

#include <gtest/gtest.h>

#include <functional>

#include "titan/base/errors.h"
#include "titan/schedule/schedule.h"

namespace titan::schedule {

/// Every schedule that there is of 1 to 8 ranks, 1 to 4 stages per rank and 1 to 32 microbatches.
inline void for_all_schedules(const std::function<void(const Schedule&)>& check) {
  for (std::size_t kind = 0; kind < kKindNames.size(); ++kind) {
    int seen = 0;
    for (std::int64_t ranks = 1; ranks <= 8; ++ranks) {
      for (std::int64_t stages = 1; stages <= 4; ++stages) {
        for (std::int64_t microbatches = 1; microbatches <= 32; ++microbatches) {
          if (problem_of(static_cast<Kind>(kind), ranks, stages, microbatches)) continue;
          SCOPED_TRACE(concat(kKindNames[kind], ", ", ranks, " ranks, ", stages,
                              " stages per rank, ", microbatches, " microbatches"));
          check(make_schedule(static_cast<Kind>(kind), ranks, stages, microbatches));
          if (testing::Test::HasFailure()) return;
          ++seen;
        }
      }
    }
    EXPECT_GE(seen, 100);
  }
}

}  // namespace titan::schedule
