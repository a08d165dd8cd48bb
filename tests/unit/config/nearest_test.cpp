#include "config/nearest.h"

#include <gtest/gtest.h>

#include <array>
#include <string>

#include "titan/config/options.h"

namespace titan::config {
namespace {

TEST(Nearest, CountsSwapsAsOneEditAndIgnoresCaseAndDashes) {
  constexpr std::array<std::string_view, 4> kWords = {"linear", "sqrt", "cosine", "for_loop"};
  EXPECT_EQ(nearest("lienar", kWords), "linear");
  EXPECT_EQ(nearest("COSINE", kWords), "cosine");
  EXPECT_EQ(nearest("for-loop", kWords), "for_loop");
  EXPECT_EQ(nearest("sqr", kWords), "sqrt");
  EXPECT_EQ(nearest("constant", kWords), "");
  EXPECT_EQ(nearest("", kWords), "");
  EXPECT_EQ(nearest(std::string(100'000, 'x'), kWords), "");
}

TEST(Nearest, OptionsAreFoundByTypoOrInAnotherSection) {
  const auto did_you_mean_option = [](std::string_view name) {
    return did_you_mean_in_sections(name, option_names());
  };
  EXPECT_EQ(did_you_mean_option("training.sequence_len"), "; did you mean 'training.seq_len'?");
  EXPECT_EQ(did_you_mean_option("trainig.steps"), "; did you mean 'training.steps'?");
  EXPECT_EQ(did_you_mean_option("valdation.steps"), "; did you mean 'validation.steps'?");
  EXPECT_EQ(did_you_mean_option("model.seed"), "; did you mean 'debug.seed'?");
  EXPECT_EQ(did_you_mean_option("quite.something_else"), "");
}

}  // namespace
}  // namespace titan::config
