#include "titan/parallel/linear_extension.h"

#include <utility>

namespace titan::parallel {

namespace {

std::shared_ptr<LinearExtension>& of_this_thread() {
  thread_local std::shared_ptr<LinearExtension> extension;
  return extension;
}

}  // namespace

LinearExtensionScope::LinearExtensionScope(std::shared_ptr<LinearExtension> extension)
    : before_(std::exchange(of_this_thread(), std::move(extension))) {}

LinearExtensionScope::~LinearExtensionScope() { of_this_thread() = std::move(before_); }

const std::shared_ptr<LinearExtension>& LinearExtensionScope::current() { return of_this_thread(); }

}  // namespace titan::parallel
