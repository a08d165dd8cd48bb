#pragma once

#include <gtest/gtest.h>

#include <exception>
#include <string>

namespace titan::test {

/// The message of the `Error` that `action` throws; a test failure when it throws none.
template <class Error, class Action>
std::string message_of(const Action& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "another type of exception: " << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace titan::test
