#pragma once

#include <functional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>

namespace titan {

/// The user's mistake (a bad option, an impossible combination). `main` exits with 2.
class ConfigError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The world's failure (I/O, a bad data file, a device, a peer). `main` exits with 1.
class RunError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Our own bug: an invariant does not hold. `main` exits with 70.
class InternalError : public std::logic_error {
 public:
  using std::logic_error::logic_error;
};

/// Streams all parts into one string: `concat("step ", 3)` is "step 3".
template <class... Parts>
std::string concat(const Parts&... parts) {
  std::ostringstream out;
  ((out << parts), ...);
  return out.str();
}

/// The items with `separator` between them: "a, b". `text_of` says what of an item is shown.
template <class Items, class TextOf = std::identity>
std::string joined(const Items& items, std::string_view separator = ", ", TextOf text_of = {}) {
  std::ostringstream out;
  std::string_view before;
  for (const auto& item : items) {
    out << before << std::invoke(text_of, item);
    before = separator;
  }
  return out.str();
}

namespace base {
/// Throws InternalError "message (condition) at file:line".
[[noreturn]] void fail_check(const char* condition, const char* file, int line,
                             const std::string& message);
}  // namespace base

}  // namespace titan

/// Throws InternalError unless `condition` holds. The message comes first, values after it.
#define TITAN_CHECK(condition, ...)                                                            \
  do {                                                                                         \
    if (!(condition)) [[unlikely]] {                                                           \
      ::titan::base::fail_check(#condition, __FILE__, __LINE__, ::titan::concat(__VA_ARGS__)); \
    }                                                                                          \
  } while (false)
