#include <algorithm>
#include <bit>
#include <limits>
#include <map>
#include <unordered_map>

#include "formats/pickle/pickle_opcodes.h"
#include "formats/pickle/unicode.h"
#include "titan/base/errors.h"
#include "titan/base/little_endian.h"
#include "titan/formats/pickle/pickle.h"

namespace titan::formats {
namespace {

using Pairs = std::vector<std::pair<PickleValue, PickleValue>>;

/// What Python's pickler does, step for step: the order of opcodes and memo numbers is its own.
class PickleWriter {
 public:
  explicit PickleWriter(int protocol) : protocol_(protocol) {}

  std::string write(const PickleValue& value) {
    save(value);
    put(Opcode::kStop);
    std::string pickle = {static_cast<char>(Opcode::kProto), static_cast<char>(protocol_)};
    constexpr std::size_t kSmallestFrame = 4;
    if (protocol_ >= 4 && out_.size() >= kSmallestFrame) {
      pickle.push_back(static_cast<char>(Opcode::kFrame));
      base::put_little(pickle, out_.size(), 8);
    }
    return pickle + out_;
  }

 private:
  /// Whose items they are: a list's or dict's, or an object's.
  enum class Owner { kBuiltIn, kObject };

  void save(const PickleValue& value) {
    if (value.is_none()) {
      put(Opcode::kNone);
    } else if (const bool* boolean = value.get_if<bool>()) {
      put(*boolean ? Opcode::kNewTrue : Opcode::kNewFalse);
    } else if (const auto* integer = value.get_if<std::int64_t>()) {
      save_integer(*integer);
    } else if (const double* real = value.get_if<double>()) {
      put(Opcode::kBinFloat);
      std::string bytes;
      base::put_little(bytes, std::bit_cast<std::uint64_t>(*real), 8);
      out_.append(bytes.rbegin(), bytes.rend());
    } else if (const auto* text = value.get_if<std::string>()) {
      save_text(*text);
    } else if (const auto* bytes = value.get_if<PickleBytes>()) {
      save_bytes(bytes->bytes);
    } else {
      save_container(value);
    }
  }

  void save_container(const PickleValue& value) {
    if (const auto* list = value.get_if<PickleList>()) {
      put(Opcode::kEmptyList);
      memoize();
      save_items(list->items, Owner::kBuiltIn);
    } else if (const auto* tuple = value.get_if<PickleTuple>()) {
      save_tuple(tuple->items);
    } else if (const auto* dict = value.get_if<PickleDict>()) {
      put(Opcode::kEmptyDict);
      memoize();
      save_pairs(dict->items, Owner::kBuiltIn);
    } else if (const auto* global = value.get_if<PickleGlobal>()) {
      save_global(*global);
    } else if (const auto* object = value.get_if<PickleObject>()) {
      save_object(*object);
    } else if (const auto* id = value.get_if<PicklePersistentId>()) {
      save(id->id);
      put(Opcode::kBinPersId);
    }
  }

  void save_integer(std::int64_t value) {
    if (value >= 0 && value <= 0xff) {
      put(Opcode::kBinInt1, static_cast<std::uint64_t>(value), 1);
    } else if (value >= 0 && value <= 0xffff) {
      put(Opcode::kBinInt2, static_cast<std::uint64_t>(value), 2);
    } else if (value >= std::numeric_limits<std::int32_t>::min() &&
               value <= std::numeric_limits<std::int32_t>::max()) {
      put(Opcode::kBinInt, static_cast<std::uint64_t>(value), 4);
    } else {
      std::size_t size = 5;  // the fewest bytes that keep the sign
      while (size < 8 && (value >> (8 * size - 1)) != 0 && (value >> (8 * size - 1)) != -1) {
        ++size;
      }
      put(Opcode::kLong1, size, 1);
      base::put_little(out_, static_cast<std::uint64_t>(value), size);
    }
  }

  void save_text(const std::string& text) {
    if (recall(texts_, text)) {
      return;
    }
    TITAN_CHECK(is_python_text(text), "a string for a pickle is not UTF-8");
    if (protocol_ >= 4 && text.size() <= 0xff) {
      put(Opcode::kShortBinUnicode, text.size(), 1);
    } else if (text.size() <= 0xffffffff) {
      put(Opcode::kBinUnicode, text.size(), 4);
    } else {
      TITAN_CHECK(protocol_ >= 4, "a string of 4 GiB needs pickle protocol 4");
      put(Opcode::kBinUnicode8, text.size(), 8);
    }
    out_ += text;
    texts_[text] = memo_size_;
    memoize();
  }

  void save_bytes(const std::string& bytes) {
    if (recall(bytes_, bytes)) {
      return;
    }
    if (protocol_ < 3) {
      return save_spelled_bytes(bytes);
    }
    if (bytes.size() <= 0xff) {
      put(Opcode::kShortBinBytes, bytes.size(), 1);
    } else if (bytes.size() <= 0xffffffff) {
      put(Opcode::kBinBytes, bytes.size(), 4);
    } else {
      TITAN_CHECK(protocol_ >= 4, "bytes of 4 GiB need pickle protocol 4");
      put(Opcode::kBinBytes8, bytes.size(), 8);
    }
    out_ += bytes;
    bytes_[bytes] = memo_size_;
    memoize();
  }

  /// Protocol 2 has no bytes: it calls `_codecs.encode(text, "latin1")`.
  void save_spelled_bytes(const std::string& bytes) {
    if (bytes.empty()) {
      save_global({"builtins", "bytes"});
      save_tuple({});
    } else {
      save_global({"_codecs", "encode"});
      save_tuple({PickleValue::text(from_latin1(bytes)), PickleValue::text("latin1")});
    }
    put(Opcode::kReduce);
    bytes_[bytes] = memo_size_;
    memoize();
  }

  void save_tuple(const std::vector<PickleValue>& items) {
    if (items.empty()) {
      return put(Opcode::kEmptyTuple);
    }
    constexpr Opcode kShort[] = {Opcode::kTuple1, Opcode::kTuple2, Opcode::kTuple3};
    if (items.size() > 3) {
      put(Opcode::kMark);
    }
    for (const PickleValue& item : items) {
      save(item);
    }
    put(items.size() > 3 ? Opcode::kTuple : kShort[items.size() - 1]);
    memoize();
  }

  void save_global(const PickleGlobal& global) {
    if (recall(globals_, {global.module, global.name})) {
      return;
    }
    if (protocol_ >= 4) {
      save_text(global.module);
      save_text(global.name);
      put(Opcode::kStackGlobal);
    } else {
      TITAN_CHECK((global.module + global.name).find('\n') == std::string::npos,
                  "the name of a class has an end of line in it");
      put(Opcode::kGlobal);
      const bool python2_name = protocol_ == 2 && global.module == "builtins";
      out_ += concat(python2_name ? "__builtin__" : global.module, "\n", global.name, "\n");
    }
    globals_[{global.module, global.name}] = memo_size_;
    memoize();
  }

  void save_object(const PickleObject& object) {
    save(object.type);
    save(object.args);
    put(object.made == PickleObject::Made::kCall ? Opcode::kReduce : Opcode::kNewObj);
    memoize();
    save_items(object.list_items, Owner::kObject);
    save_pairs(object.dict_items, Owner::kObject);
    if (object.has_state) {
      save(object.state);
      put(Opcode::kBuild);
    }
  }

  void save_items(const std::vector<PickleValue>& items, Owner owner) {
    save_batches(items.size(), owner, Opcode::kAppend, Opcode::kAppends,
                 [&](std::size_t i) { save(items[i]); });
  }

  void save_pairs(const Pairs& pairs, Owner owner) {
    save_batches(pairs.size(), owner, Opcode::kSetItem, Opcode::kSetItems, [&](std::size_t i) {
      save(pairs[i].first);
      save(pairs[i].second);
    });
    // Python finds out that a dict has ended by starting another batch.
    if (owner == Owner::kBuiltIn && !pairs.empty() && pairs.size() % kBatch == 0) {
      put(Opcode::kMark);
      put(Opcode::kSetItems);
    }
  }

  /// A single one needs no mark; the last one of many, only where an object's are counted out.
  template <class SaveOne>
  void save_batches(std::size_t count, Owner owner, Opcode one, Opcode many,
                    const SaveOne& save_one) {
    for (std::size_t first = 0; first < count; first += kBatch) {
      const std::size_t end = std::min(count, first + kBatch);
      if (count == 1 || (owner == Owner::kObject && end - first == 1)) {
        save_one(first);
        put(one);
        continue;
      }
      put(Opcode::kMark);
      for (std::size_t i = first; i < end; ++i) {
        save_one(i);
      }
      put(many);
    }
  }

  void memoize() {
    if (protocol_ >= 4) {
      put(Opcode::kMemoize);
    } else if (memo_size_ <= 0xff) {
      put(Opcode::kBinPut, memo_size_, 1);
    } else {
      put(Opcode::kLongBinPut, memo_size_, 4);
    }
    ++memo_size_;
  }

  /// Fetches what was written before; false when it was not.
  template <class Memo>
  bool recall(const Memo& memo, const typename Memo::key_type& key) {
    const auto number = memo.find(key);
    if (number == memo.end()) {
      return false;
    }
    if (number->second <= 0xff) {
      put(Opcode::kBinGet, number->second, 1);
    } else {
      put(Opcode::kLongBinGet, number->second, 4);
    }
    return true;
  }

  void put(Opcode opcode) { out_.push_back(static_cast<char>(opcode)); }

  void put(Opcode opcode, std::uint64_t operand, std::size_t bytes) {
    put(opcode);
    base::put_little(out_, operand, bytes);
  }

  static constexpr std::size_t kBatch = 1000;

  const int protocol_;
  std::string out_;
  std::uint64_t memo_size_ = 0;
  std::unordered_map<std::string, std::uint64_t> texts_;
  std::unordered_map<std::string, std::uint64_t> bytes_;
  std::map<std::pair<std::string, std::string>, std::uint64_t> globals_;
};

}  // namespace

std::string write_pickle(const PickleValue& value, int protocol) {
  TITAN_CHECK(protocol >= 2 && protocol <= 5, "pickle protocol ", protocol, "; known are 2 to 5");
  return PickleWriter(protocol).write(value);
}

}  // namespace titan::formats
