#include <bit>

#include "titan/base/errors.h"
#include "titan/formats/pickle/pickle.h"

namespace titan::formats {
namespace {

bool same(double a, double b) {
  return std::bit_cast<std::uint64_t>(a) == std::bit_cast<std::uint64_t>(b);
}
template <class T>
bool same(const T& a, const T& b) {
  return a == b;
}
bool same(const PickleBytes& a, const PickleBytes& b) { return a.bytes == b.bytes; }
bool same(const PickleList& a, const PickleList& b) { return a.items == b.items; }
bool same(const PickleTuple& a, const PickleTuple& b) { return a.items == b.items; }
bool same(const PickleDict& a, const PickleDict& b) { return a.items == b.items; }
bool same(const PicklePersistentId& a, const PicklePersistentId& b) { return a.id == b.id; }
bool same(const PickleObject& a, const PickleObject& b) {
  return a.made == b.made && a.type == b.type && a.args == b.args && a.has_state == b.has_state &&
         a.state == b.state && a.list_items == b.list_items && a.dict_items == b.dict_items;
}
template <class T>
bool same(const std::shared_ptr<const T>& a, const std::shared_ptr<const T>& b) {
  return a == b || same(*a, *b);
}

}  // namespace

PickleValue PickleValue::boolean(bool value) { return PickleValue(value); }
PickleValue PickleValue::integer(std::int64_t value) { return PickleValue(value); }
PickleValue PickleValue::real(double value) { return PickleValue(value); }
PickleValue PickleValue::text(std::string value) { return shared(std::move(value)); }
PickleValue PickleValue::bytes(std::string value) { return shared(PickleBytes{std::move(value)}); }

PickleValue PickleValue::list(std::vector<PickleValue> items) {
  return shared(PickleList{std::move(items)});
}

PickleValue PickleValue::tuple(std::vector<PickleValue> items) {
  return shared(PickleTuple{std::move(items)});
}

PickleValue PickleValue::dict(std::vector<std::pair<PickleValue, PickleValue>> items) {
  return shared(PickleDict{std::move(items)});
}

PickleValue PickleValue::global(std::string module, std::string name) {
  return shared(PickleGlobal{std::move(module), std::move(name)});
}

PickleValue PickleValue::object(PickleObject parts) {
  TITAN_CHECK(parts.type.get_if<PickleGlobal>() && parts.args.get_if<PickleTuple>(),
              "an object is made by a ", parts.type.kind(), " with a ", parts.args.kind());
  return shared(std::move(parts));
}

PickleValue PickleValue::persistent_id(PickleValue id) {
  return shared(PicklePersistentId{std::move(id)});
}

bool PickleObject::is(std::string_view module, std::string_view name) const {
  const auto* global = type.get_if<PickleGlobal>();
  return global->module == module && global->name == name;
}

const std::vector<PickleValue>& PickleObject::arguments() const {
  return args.get_if<PickleTuple>()->items;
}

const PickleValue* PickleValue::find(std::string_view key) const {
  const auto* dict = get_if<PickleDict>();
  if (dict == nullptr) {
    return nullptr;
  }
  for (auto pair = dict->items.rbegin(); pair != dict->items.rend(); ++pair) {
    const auto* text = pair->first.get_if<std::string>();
    if (text != nullptr && *text == key) {
      return &pair->second;
    }
  }
  return nullptr;
}

std::string PickleValue::kind() const {
  if (const auto* type = get_if<PickleGlobal>()) {
    return concat("class ", type->module, ".", type->name);
  }
  if (const auto* parts = get_if<PickleObject>()) {
    return concat("object of ", parts->type.kind());
  }
  constexpr std::string_view kNames[] = {"None", "bool",  "int",    "float",
                                         "str",  "bytes", "list",   "tuple",
                                         "dict", "class", "object", "persistent id"};
  return std::string(kNames[value_.index()]);
}

bool operator==(const PickleValue& a, const PickleValue& b) {
  return a.value_.index() == b.value_.index() &&
         std::visit(
             [&b](const auto& value) {
               return same(value, std::get<std::decay_t<decltype(value)>>(b.value_));
             },
             a.value_);
}

}  // namespace titan::formats
