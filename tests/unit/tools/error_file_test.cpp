#include "titan/tools/error_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>

#include "support/temporary_folder.h"
#include "titan/base/file_system.h"

namespace titan::tools {
namespace {

TEST(ErrorFile, HoldsTheFirstMessage) {
  const test::TemporaryFolder folder;
  const auto lookup = [&](const char*) { return std::optional(folder / "error.json"); };
  leave_error_file("disk \"full\"\n\tat C:\\", lookup);
  leave_error_file("later", lookup);
  const std::string text =
      base::read_whole_file(base::posix_file_system(), folder / "error.json", 1'000);
  EXPECT_THAT(text, testing::StartsWith(R"({"message": "disk \"full\"\n at C:\\", "timestamp": )"));
  EXPECT_THAT(text, testing::EndsWith("}\n"));
}

TEST(ErrorFile, IsNotForced) {
  leave_error_file("nobody asked", [](const char*) { return std::optional<std::string>(); });
  leave_error_file("no such folder",
                   [](const char*) { return std::optional<std::string>("/no/such/x"); });
}

}  // namespace
}  // namespace titan::tools
