#include "titan/base/extension.h"

#include <gtest/gtest.h>

#include "support/throws.h"
#include "titan/base/errors.h"

namespace titan::base {
namespace {

TEST(Extension, WhatIsMissingIsNamedWithItsRemedy) {
  const std::string error = test::message_of<RunError>([] {
    load_extension(
        {.library = "libtitan_none.so", .function = "open", .reads = "scrolls", .needs = "a lamp"});
  });
  EXPECT_EQ(error.find("this build reads no scrolls: '/"), 0u) << error;
  EXPECT_NE(error.find("/libtitan_none.so' is missing. It is built where a lamp is found, which "
                       "scripts/bootstrap.sh installs"),
            std::string::npos)
      << error;
}

TEST(Extension, WhatIsNoLibrary) {
  const std::string error = test::message_of<RunError>([] {
    load_extension(
        {.library = "base_test", .function = "open", .reads = "scrolls", .needs = "a lamp"});
  });
  EXPECT_EQ(error.find("the reader of scrolls cannot be loaded: "), 0u) << error;
}

}  // namespace
}  // namespace titan::base
