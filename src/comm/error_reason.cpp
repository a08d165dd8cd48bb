#include "comm/error_reason.h"

#include <c10/util/Exception.h>

#include "titan/base/printable.h"

namespace titan::comm {

std::string reason_of(const std::exception& error) {
  const auto* torch_error = dynamic_cast<const c10::Error*>(&error);
  const std::string text =
      torch_error != nullptr ? torch_error->what_without_backtrace() : error.what();
  return base::printable(text.substr(0, text.find('\n')));
}

}  // namespace titan::comm
