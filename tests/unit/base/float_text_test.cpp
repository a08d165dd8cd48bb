#include "titan/base/float_text.h"

#include <gtest/gtest.h>

#include <bit>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <random>

namespace titan::base {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct PythonRepr {
  std::uint64_t bits;
  const char* text;
};

// Written by Python: repr(value) of edge cases, float32 losses and random bit patterns.
constexpr PythonRepr kGolden[] = {
    {0x0000000000000000ULL, "0.0"},
    {0x8000000000000000ULL, "-0.0"},
    {0x3ff0000000000000ULL, "1.0"},
    {0xbff0000000000000ULL, "-1.0"},
    {0x3ee4f8b588e368f1ULL, "1e-05"},
    {0x3f1a36371ea531a8ULL, "9.999e-05"},
    {0x3f1a36e2eb1c432dULL, "0.0001"},
    {0x3f3a36e2eb1c432dULL, "0.0004"},
    {0x402043abc0000000ULL, "8.132169723510742"},
    {0x430c6bf526340000ULL, "1000000000000000.0"},
    {0x4341c37937e08000ULL, "1e+16"},
    {0x4341c37937e07fffULL, "9999999999999998.0"},
    {0x437b69b4ba630f35ULL, "1.2345678901234568e+17"},
    {0x4376345785d8a000ULL, "1e+17"},
    {0x0000000000000001ULL, "5e-324"},
    {0x0010000000000000ULL, "2.2250738585072014e-308"},
    {0x7fefffffffffffffULL, "1.7976931348623157e+308"},
    {0x3fb999999999999aULL, "0.1"},
    {0x3fd5555555555555ULL, "0.3333333333333333"},
    {0xbe90c6f7a0b5ed8dULL, "-2.5e-07"},
    {0x4059000000000000ULL, "100.0"},
    {0x4480f0cf064dd592ULL, "1e+22"},
    {0x44b52d02c7e14af6ULL, "1e+23"},
    {0x4340000000000000ULL, "9007199254740992.0"},
    {0x36dc8b8218854567ULL, "2e-44"},
    {0x40fe240c9fbe76c9ULL, "123456.789"},
    {0x3fd3333333333334ULL, "0.30000000000000004"},
    {0x4025bc4000000000ULL, "10.86767578125"},
    {0x4020785880000000ULL, "8.235050201416016"},
    {0x4022656ee0000000ULL, "9.198111534118652"},
    {0x4025b5f660000000ULL, "10.855395317077637"},
    {0x4008f18500000000ULL, "3.117929458618164"},
    {0x401e83cca0000000ULL, "7.6287102699279785"},
    {0x4025b7fc80000000ULL, "10.85934829711914"},
    {0x4024ee5e80000000ULL, "10.465564727783203"},
    {0x401b804b80000000ULL, "6.875288009643555"},
    {0x400042a2c0000000ULL, "2.0325369834899902"},
    {0x4013c0cba0000000ULL, "4.938276767730713"},
    {0x4027da2400000000ULL, "11.926055908203125"},
    {0x20050ed31a6e72b9ULL, "1.963213225267579e-154"},
    {0x7972a36d51b31a6cULL, "1.0324864223419435e+277"},
    {0x94a67f00f335c357ULL, "-3.4213729329425745e-209"},
    {0x6977a41b730bed9cULL, "1.1310030775088691e+200"},
    {0x332726d0356a4152ULL, "2.813922867476007e-62"},
    {0xa0187b4d51209e8fULL, "-4.564811906660726e-154"},
    {0xae6ac4a9e89c5bc7ULL, "-4.3059669269871163e-85"},
    {0x542861cd55e7d67eULL, "2.6039860057492803e+97"},
    {0x17bcc74d6d683cf8ULL, "2.4639468976369333e-194"},
    {0x8491cabea0afe356ULL, "-1.1684448120557957e-286"},
    {0xd775f593ce3ad2b2ULL, "-2.11240221206254e+113"},
    {0x67a9b05c7dfb27e8ULL, "2.2891432112919148e+191"},
    {0x34d2ea1614daf467ULL, "3.085555378801403e-54"},
    {0x3e1dcfb592bde31cULL, "1.7352497867139753e-09"},
    {0x33aa391808fc2081ULL, "8.15931363693919e-60"},
    {0x1570bc621832c9e2ULL, "2.085121211796292e-205"},
    {0x40e0529930b9f609ULL, "33428.78719804815"},
    {0xc3b1b366b1852ac8ULL, "-1.2754760321054003e+18"},
    {0x4e18a3634891a61bULL, "1.6606136660129393e+68"},
    {0x41bc858eb0b4362eULL, "478514864.7039517"},
    {0x9fbba63829d144e4ULL, "-8.055385126726704e-156"},
};

TEST(FloatText, IsPythonsRepr) {
  for (const auto& [bits, text] : kGolden) {
    EXPECT_EQ(shortest(std::bit_cast<double>(bits)), text);
  }
}

TEST(FloatText, NamesWhatIsNoNumberAsPythonDoes) {
  EXPECT_EQ(shortest(kNan), "nan");
  EXPECT_EQ(shortest(-kNan), "nan");
  EXPECT_EQ(shortest(kInfinity), "inf");
  EXPECT_EQ(shortest(-kInfinity), "-inf");
}

TEST(FloatText, ReadsBackAsTheSameDouble) {
  std::mt19937_64 random(7);
  for (int i = 0; i < 20000; ++i) {
    const double value = std::bit_cast<double>(random());
    if (value == value) {
      const std::string text = shortest(value);
      EXPECT_EQ(std::strtod(text.c_str(), nullptr), value) << text;
    }
  }
}

TEST(FloatText, JsonHasNoNan) {
  EXPECT_EQ(json_number(0.25), "0.25");
  EXPECT_EQ(json_number(kNan), "null");
  EXPECT_EQ(json_number(-kInfinity), "null");
}

}  // namespace
}  // namespace titan::base
