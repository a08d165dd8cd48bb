#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace titan::formats {

class PickleValue;

struct PickleBytes {
  std::string bytes;
};
struct PickleList {
  std::vector<PickleValue> items;
};
struct PickleTuple {
  std::vector<PickleValue> items;
};
/// Pairs in the order they were put in; keys are any values. Of equal keys Python keeps the last.
struct PickleDict {
  std::vector<std::pair<PickleValue, PickleValue>> items;
};
/// A class or function by name. Nothing looks it up.
struct PickleGlobal {
  std::string module;
  std::string name;
  bool operator==(const PickleGlobal&) const = default;
};
struct PickleObject;
struct PicklePersistentId;

/// A Python value as data: what a pickle says, with classes as names. Immutable and cheap to copy;
/// equal parts of a pickle may be one part here. It never holds itself.
class PickleValue {
 public:
  /// None.
  PickleValue() = default;
  static PickleValue boolean(bool value);
  static PickleValue integer(std::int64_t value);
  static PickleValue real(double value);
  /// UTF-8; surrogates may stand alone, as in Python.
  static PickleValue text(std::string value);
  static PickleValue bytes(std::string value);
  static PickleValue list(std::vector<PickleValue> items);
  static PickleValue tuple(std::vector<PickleValue> items);
  static PickleValue dict(std::vector<std::pair<PickleValue, PickleValue>> items);
  static PickleValue global(std::string module, std::string name);
  static PickleValue object(PickleObject parts);
  static PickleValue persistent_id(PickleValue id);

  bool is_none() const { return std::holds_alternative<std::monostate>(value_); }

  /// The value where it is a T, else null. T: bool, std::int64_t, double, std::string (text),
  /// PickleBytes, PickleList, PickleTuple, PickleDict, PickleGlobal, PickleObject,
  /// PicklePersistentId.
  template <class T>
  const T* get_if() const {
    if constexpr (std::is_arithmetic_v<T>) {
      return std::get_if<T>(&value_);
    } else {
      const auto* shared = std::get_if<std::shared_ptr<const T>>(&value_);
      return shared != nullptr ? shared->get() : nullptr;
    }
  }

  /// The value of the text key `key` where this is a dict that has it, else null.
  const PickleValue* find(std::string_view key) const;

  /// Python's name for what this is, for messages: "int", "dict", "object of class torch.Size".
  std::string kind() const;

  /// Whether both say the same, floats bit for bit.
  friend bool operator==(const PickleValue& a, const PickleValue& b);

 private:
  using Alternatives =
      std::variant<std::monostate, bool, std::int64_t, double, std::shared_ptr<const std::string>,
                   std::shared_ptr<const PickleBytes>, std::shared_ptr<const PickleList>,
                   std::shared_ptr<const PickleTuple>, std::shared_ptr<const PickleDict>,
                   std::shared_ptr<const PickleGlobal>, std::shared_ptr<const PickleObject>,
                   std::shared_ptr<const PicklePersistentId>>;

  explicit PickleValue(Alternatives value) : value_(std::move(value)) {}
  template <class T>
  static PickleValue shared(T value) {
    return PickleValue(std::make_shared<const T>(std::move(value)));
  }

  Alternatives value_;
};

/// What an unpickler would make by calling `type`: the five parts of Python's `__reduce__`.
struct PickleObject {
  enum class Made : std::uint8_t {
    kCall,
    kNew
  };  // REDUCE: type(*args); NEWOBJ: type.__new__(type, *args)
  Made made = Made::kCall;
  PickleValue type;        // a global
  PickleValue args;        // a tuple
  bool has_state = false;  // whether BUILD follows
  PickleValue state = {};
  std::vector<PickleValue> list_items = {};                          // appended to it
  std::vector<std::pair<PickleValue, PickleValue>> dict_items = {};  // set in it

  bool is(std::string_view module, std::string_view name) const;
  const std::vector<PickleValue>& arguments() const;
};

/// A reference to something outside of the pickle: in `torch.save` files a storage.
struct PicklePersistentId {
  PickleValue id;
};

/// What a pickle may ask for. The number of its parts is bounded by its length already, and so is the
/// memory to read it: some 80 times that.
struct PickleLimits {
  /// Containers within containers.
  std::size_t max_depth = 100;
  /// Parts when every shared part is counted wherever it is used, 16 bytes of text as one: what it
  /// takes to walk over the value.
  std::uint64_t max_parts = std::uint64_t{1} << 28;
};

/// Reads a pickle of protocol 2 to 5 as Python's own pickler writes it, and executes nothing. Sets,
/// integers beyond 64 bits and values that hold themselves are refused. `bytes` that protocol 2
/// spells as a call of `_codecs.encode` are bytes.
/// Throws RunError naming the byte and the opcode.
PickleValue read_pickle(std::string_view pickle, const PickleLimits& limits = {});

/// Writes the bytes that Python's pickler writes where all equal strings and bytes are one object
/// (memo entries of everything, batches of 1000), except that protocol 4 and 5 have one frame.
/// protocol: 2 to 5. Throws InternalError for text that is no UTF-8.
std::string write_pickle(const PickleValue& value, int protocol);

}  // namespace titan::formats
