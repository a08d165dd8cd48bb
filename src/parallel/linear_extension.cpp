#include "titan/parallel/linear_extension.h"

#include <algorithm>
#include <string>
#include <utility>

#include "titan/config/job_config.h"

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

bool may_be_converted(const nn::Module& module, const config::JobConfig& config) {
  const auto& extension = LinearExtensionScope::current();
  return (extension != nullptr && extension->multiplies(module)) ||
         std::ranges::any_of(config.model.converters, [](const std::string& name) {
           return !name.starts_with("quantize.");
         });
}

}  // namespace titan::parallel
