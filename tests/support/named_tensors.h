#pragma once

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace titan::test {

using NamedTensors = std::map<std::string, at::Tensor>;

/// The same names, and tensors that differ by at most `share` of the largest entry; 0: equal.
inline void expect_close(const NamedTensors& actual, const NamedTensors& expected, double share) {
  ASSERT_EQ(actual.size(), expected.size());
  for (const auto& [name, tensor] : expected) {
    ASSERT_TRUE(actual.contains(name)) << name;
    const double largest = tensor.abs().max().item<double>();
    const double difference = (actual.at(name) - tensor).abs().max().item<double>();
    EXPECT_LE(difference, share * largest) << name;
  }
}

}  // namespace titan::test
