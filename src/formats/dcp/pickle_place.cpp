#include "formats/dcp/pickle_place.h"

#include "formats/dcp/dcp_classes.h"
#include "titan/base/errors.h"

namespace titan::formats {

const PickleObject& PicklePlace::object_of(PickleObject::Made made, std::string_view module,
                                           std::string_view name) const {
  const auto* object = value_.get_if<PickleObject>();
  if (object == nullptr || object->made != made || !object->is(module, name) ||
      !object->list_items.empty() || !object->dict_items.empty()) {
    fail_expected(concat("an object of ", module, ".", name));
  }
  return *object;
}

PicklePlace PicklePlace::state_of(std::string_view module, std::string_view name) const {
  const PickleObject& object = object_of(PickleObject::Made::kNew, module, name);
  if (!object.arguments().empty()) {
    fail(concat(module, ".", name, " is made with arguments"));
  }
  return around_ != nullptr ? PicklePlace(object.state, name_, *around_)
                            : PicklePlace(object.state, name_);
}

const std::vector<PickleValue>& PicklePlace::call_of(std::string_view module,
                                                     std::string_view name) const {
  const PickleObject& object = object_of(PickleObject::Made::kCall, module, name);
  if (object.has_state) {
    fail(concat("a ", module, ".", name, " with a state"));
  }
  return object.arguments();
}

PicklePlace PicklePlace::at(std::string_view key) const {
  dict();
  const PickleValue* found = value_.find(key);
  if (found == nullptr) {
    fail(concat("'", key, "' is missing"));
  }
  return PicklePlace(*found, key, *this);
}

std::int64_t PicklePlace::count() const {
  const auto value = need<std::int64_t>("a number");
  if (value < 0) {
    fail(concat(value, " is negative"));
  }
  return value;
}

std::vector<std::int64_t> PicklePlace::torch_size() const {
  const std::vector<PickleValue>& args = call_of(dcp_classes::kTorch, dcp_classes::kSize);
  const auto* tuple = args.size() == 1 ? args[0].get_if<PickleTuple>() : nullptr;
  if (tuple == nullptr) {
    fail_expected("a torch.Size of a tuple");
  }
  std::vector<std::int64_t> sizes;
  sizes.reserve(tuple->items.size());
  for (const PickleValue& item : tuple->items) {
    sizes.push_back(PicklePlace(item, "of its sizes", *this).count());
  }
  return sizes;
}

void PicklePlace::fail(const std::string& why) const { throw RunError(concat(way(), ": ", why)); }

void PicklePlace::fail_expected(std::string_view what) const {
  fail(concat("expected ", what, ", found ", value_.kind()));
}

std::string PicklePlace::way() const {
  return around_ != nullptr ? concat(around_->way(), ": ", name_) : std::string(name_);
}

}  // namespace titan::formats
