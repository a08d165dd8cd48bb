#include <utility>

#include "formats/pickle/pickle_cursor.h"
#include "formats/pickle/pickle_graph.h"
#include "formats/pickle/pickle_opcodes.h"
#include "formats/pickle/unicode.h"

namespace titan::formats {
namespace {

using Kind = PickleNode::Kind;

// A byte of a pickle can ask for an object or a place in a list, which take hundreds of bytes here. Real
// pickles, where every object has a class and is remembered, take about forty bytes for each of theirs.
constexpr std::uint64_t kSmallMemory = 32 << 20;
constexpr std::uint64_t kMemoryPerByte = 80;
constexpr std::uint64_t kNodeMemory = sizeof(PickleNode) + 120;  // and the value made of it
constexpr std::uint64_t kSlotMemory = 2 * sizeof(PickleSlot) + sizeof(PickleValue);

/// The stack machine of Python's unpickler, less everything that runs code.
class PickleMachine {
 public:
  explicit PickleMachine(std::string_view pickle) : cursor_(pickle) {}

  PickleGraph run() {
    read_header();
    for (;;) {
      const auto opcode = static_cast<Opcode>(cursor_.next_opcode());
      if (opcode == Opcode::kStop) {
        finish();
        return std::move(graph_);
      }
      step(opcode);
    }
  }

 private:
  void read_header() {
    if (static_cast<Opcode>(cursor_.next_opcode()) != Opcode::kProto) {
      fail("not a pickle of protocol 2 to 5: those start with PROTO (0x80)");
    }
    const std::uint64_t protocol = cursor_.take_number(1);
    if (protocol < 2 || protocol > 5) {
      fail(concat("protocol ", protocol, "; known are 2 to 5"));
    }
  }

  void finish() {
    if (stack_.size() != 1 || !marks_.empty()) {
      fail(concat("the end, with ", stack_.size(), " values and ", marks_.size(),
                  " open marks left instead of one value"));
    }
    if (cursor_.left() != 0) {
      fail(concat(cursor_.left(), " bytes follow the end of the pickle"));
    }
    graph_.root = stack_.back();
  }

  void step(Opcode opcode) {
    if (!step_scalar(opcode) && !step_container(opcode) && !step_memo(opcode) &&
        !step_object(opcode)) {
      fail(
          "this opcode is not read: data of dicts, lists, tuples, numbers, strings and known "
          "objects does not need it");
    }
  }

  bool step_scalar(Opcode opcode) {
    switch (opcode) {
      case Opcode::kNone:
        return push(std::monostate());
      case Opcode::kNewTrue:
        return push(true);
      case Opcode::kNewFalse:
        return push(false);
      case Opcode::kBinInt1:
        return push(static_cast<std::int64_t>(cursor_.take_number(1)));
      case Opcode::kBinInt2:
        return push(static_cast<std::int64_t>(cursor_.take_number(2)));
      case Opcode::kBinInt:
        return push(std::int64_t{static_cast<std::int32_t>(cursor_.take_number(4))});
      case Opcode::kLong1:
        return push(cursor_.take_long(cursor_.take_number(1)));
      case Opcode::kLong4:
        return push(cursor_.take_long(cursor_.take_number(4)));
      case Opcode::kBinFloat:
        return push(cursor_.take_float());
      case Opcode::kShortBinUnicode:
        return push_text(cursor_.take(cursor_.take_number(1)));
      case Opcode::kBinUnicode:
        return push_text(cursor_.take(cursor_.take_number(4)));
      case Opcode::kBinUnicode8:
        return push_text(cursor_.take(cursor_.take_number(8)));
      case Opcode::kShortBinBytes:
        return push_bytes(cursor_.take(cursor_.take_number(1)));
      case Opcode::kBinBytes:
        return push_bytes(cursor_.take(cursor_.take_number(4)));
      case Opcode::kBinBytes8:
        return push_bytes(cursor_.take(cursor_.take_number(8)));
      default:
        return false;
    }
  }

  bool step_container(Opcode opcode) {
    switch (opcode) {
      case Opcode::kEmptyList:
        return push(&add(Kind::kList));
      case Opcode::kEmptyDict:
        return push(&add(Kind::kDict));
      case Opcode::kEmptyTuple:  // it cannot change: one does for all
        if (empty_tuple_ == nullptr) empty_tuple_ = &add(Kind::kTuple);
        return push(empty_tuple_);
      case Opcode::kTuple1:
        return push_tuple(pop_many(1));
      case Opcode::kTuple2:
        return push_tuple(pop_many(2));
      case Opcode::kTuple3:
        return push_tuple(pop_many(3));
      case Opcode::kMark:
        spend(kSlotMemory);
        marks_.push_back(stack_.size());
        return true;
      case Opcode::kTuple:
        return push_tuple(pop_to_mark());
      case Opcode::kAppend:
        return append(pop_many(1));
      case Opcode::kAppends:
        return append(pop_to_mark());
      case Opcode::kSetItem:
        return set_items(pop_many(2));
      case Opcode::kSetItems:
        return set_items(pop_to_mark());
      default:
        return false;
    }
  }

  bool step_memo(Opcode opcode) {
    switch (opcode) {
      case Opcode::kMemoize:
        return remember(memo_.size());
      case Opcode::kBinPut:
        return remember(cursor_.take_number(1));
      case Opcode::kLongBinPut:
        return remember(cursor_.take_number(4));
      case Opcode::kBinGet:
        return recall(cursor_.take_number(1));
      case Opcode::kLongBinGet:
        return recall(cursor_.take_number(4));
      case Opcode::kFrame: {
        const std::uint64_t size = cursor_.take_number(8);
        if (size > cursor_.left()) {
          fail(concat("a frame of ", size, " bytes, but ", cursor_.left(), " are left"));
        }
        return true;
      }
      default:
        return false;
    }
  }

  bool step_object(Opcode opcode) {
    switch (opcode) {
      case Opcode::kGlobal: {
        const std::string_view module = cursor_.take_line();
        return push_global(module, cursor_.take_line());
      }
      case Opcode::kStackGlobal: {
        const std::vector<PickleSlot> names = pop_many(2);
        return push_global(text_of(names[0]), text_of(names[1]));
      }
      case Opcode::kReduce:
        return make_object(PickleObject::Made::kCall);
      case Opcode::kNewObj:
        return make_object(PickleObject::Made::kNew);
      case Opcode::kBuild:
        return build();
      case Opcode::kBinPersId: {
        std::vector<PickleSlot> id = pop_many(1);
        PickleNode& node = add(Kind::kPersistentId);
        node.items = std::move(id);
        return push(&node);
      }
      default:
        return false;
    }
  }

  void spend(std::uint64_t memory) {
    memory_ += memory;
    if (memory_ > kSmallMemory + kMemoryPerByte * cursor_.size()) {
      fail(concat("takes more memory than anything real of ", cursor_.size(), " bytes"));
    }
  }

  PickleNode& add(Kind kind) {
    spend(kNodeMemory);
    return graph_.nodes.emplace_back(PickleNode{.kind = kind, .offset = cursor_.opcode_at()});
  }

  bool push(PickleSlot slot) {
    spend(kSlotMemory);
    stack_.push_back(slot);
    return true;
  }

  bool push_text(std::string_view text) {
    if (!is_python_text(text)) {
      fail("a string that is not UTF-8");
    }
    PickleNode& node = add(Kind::kText);
    node.text = text;
    return push(&node);
  }

  bool push_bytes(std::string_view bytes) {
    PickleNode& node = add(Kind::kBytes);
    node.text = bytes;
    return push(&node);
  }

  bool push_tuple(std::vector<PickleSlot> items) {
    PickleNode& node = add(Kind::kTuple);
    node.items = std::move(items);
    return push(&node);
  }

  bool push_global(std::string_view module, std::string_view name) {
    if (!is_class_name(module) || !is_class_name(name)) {
      fail("a class without a proper name");
    }
    PickleNode& node = add(Kind::kGlobal);
    // Python 2's name, in protocol 2
    extras(node).module = module == "__builtin__" ? "builtins" : module;
    node.text = name;
    return push(&node);
  }

  bool make_object(PickleObject::Made made) {
    const std::vector<PickleSlot> parts = pop_many(2);
    const PickleNode* type = node_of(parts[0], Kind::kGlobal);
    const PickleNode* args = node_of(parts[1], Kind::kTuple);
    if (type == nullptr || args == nullptr) {
      fail("an object is made by something else than a class or function by name and a tuple");
    }
    if (made == PickleObject::Made::kCall && push_spelled_bytes(*type, *args)) {
      return true;
    }
    PickleNode& node = add(Kind::kObject);
    node.made = made;
    node.items = parts;
    return push(&node);
  }

  /// Protocol 2 has no bytes: `_codecs.encode(text, "latin1")`, or `bytes()` for none.
  bool push_spelled_bytes(const PickleNode& function, const PickleNode& args) {
    const std::string_view module = function.extras->module;
    if (module == "builtins" && function.text == "bytes" && args.items.empty()) {
      return push_bytes({});
    }
    if (module != "_codecs" || function.text != "encode") {
      return false;
    }
    const bool two = args.items.size() == 2;
    const PickleNode* text = two ? node_of(args.items[0], Kind::kText) : nullptr;
    const PickleNode* encoding = two ? node_of(args.items[1], Kind::kText) : nullptr;
    std::string& decoded = graph_.decoded.emplace_back();
    if (text == nullptr || encoding == nullptr || encoding->text != "latin1" ||
        !to_latin1(text->text, decoded)) {
      fail("_codecs.encode of something else than characters up to 255 as latin1");
    }
    decoded_bytes_ += decoded.size();
    if (decoded_bytes_ > cursor_.size()) {
      fail("spells the same bytes again and again");
    }
    return push_bytes(decoded);
  }

  bool append(std::vector<PickleSlot> items) {
    PickleNode* target = top_node();
    if (target != nullptr && target->kind == Kind::kList) {
      return join(target->items, std::move(items));
    }
    if (target != nullptr && target->kind == Kind::kObject) {
      return join(extras(*target).list_items, std::move(items));
    }
    fail("appends to what is no list");
  }

  bool set_items(std::vector<PickleSlot> items) {
    PickleNode* target = top_node();
    if (items.size() % 2 != 0) {
      fail("a key without a value");
    }
    if (target != nullptr && target->kind == Kind::kDict) {
      return join(target->items, std::move(items));
    }
    if (target != nullptr && target->kind == Kind::kObject) {
      return join(extras(*target).dict_items, std::move(items));
    }
    fail("sets items of what is no dict");
  }

  bool build() {
    const PickleSlot state = pop_many(1)[0];
    PickleNode* target = top_node();
    if (target == nullptr || target->kind != Kind::kObject || extras(*target).state) {
      fail("gives a state to what is no object, or has one");
    }
    extras(*target).state = state;
    return true;
  }

  bool remember(std::uint64_t number) {
    if (stack_.size() == bottom()) {
      fail("nothing on the stack to remember");
    }
    if (number > memo_.size()) {
      fail(concat("remembers as ", number, " what would be number ", memo_.size()));
    }
    if (number == memo_.size()) {
      memo_.emplace_back();
    }
    memo_[number] = stack_.back();
    return true;
  }

  bool recall(std::uint64_t number) {
    if (number >= memo_.size()) {
      fail(concat("asks for number ", number, " of ", memo_.size(), " remembered values"));
    }
    return push(memo_[number]);
  }

  static bool join(std::vector<PickleSlot>& all, std::vector<PickleSlot> more) {
    all.insert(all.end(), more.begin(), more.end());
    return true;
  }

  static PickleNode::Extras& extras(PickleNode& node) {
    if (!node.extras) {
      node.extras = std::make_unique<PickleNode::Extras>();
    }
    return *node.extras;
  }

  static const PickleNode* node_of(const PickleSlot& slot, Kind kind) {
    PickleNode* const* node = std::get_if<PickleNode*>(&slot);
    return node != nullptr && (*node)->kind == kind ? *node : nullptr;
  }

  std::string_view text_of(const PickleSlot& slot) const {
    const PickleNode* node = node_of(slot, Kind::kText);
    if (node == nullptr) {
      fail("the name of a class is no string");
    }
    return node->text;
  }

  PickleNode* top_node() const {
    if (stack_.size() == bottom()) {
      fail("nothing is left on the stack");
    }
    PickleNode* const* node = std::get_if<PickleNode*>(&stack_.back());
    return node != nullptr ? *node : nullptr;
  }

  /// What lies below the last mark is out of reach.
  std::size_t bottom() const { return marks_.empty() ? 0 : marks_.back(); }

  std::vector<PickleSlot> pop_many(std::size_t count) {
    if (stack_.size() - bottom() < count) {
      fail(concat("needs ", count, " values, but ", stack_.size() - bottom(), " are left"));
    }
    return pop_from(stack_.size() - count);
  }

  std::vector<PickleSlot> pop_to_mark() {
    if (marks_.empty()) {
      fail("no mark is open");
    }
    const std::size_t mark = marks_.back();
    marks_.pop_back();
    return pop_from(mark);
  }

  std::vector<PickleSlot> pop_from(std::size_t first) {
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(first);
    std::vector<PickleSlot> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    return items;
  }

  [[noreturn]] void fail(const std::string& why) const { cursor_.fail(why); }

  PickleCursor cursor_;
  std::vector<PickleSlot> stack_;
  std::vector<std::size_t> marks_;
  std::vector<PickleSlot> memo_;
  std::uint64_t decoded_bytes_ = 0;
  std::uint64_t memory_ = 0;  // roughly
  PickleNode* empty_tuple_ = nullptr;
  PickleGraph graph_;
};

}  // namespace

PickleGraph run_pickle(std::string_view pickle) { return PickleMachine(pickle).run(); }

RunError pickle_error(std::string_view pickle, std::uint64_t offset, const std::string& why) {
  const std::string opcode =
      offset < pickle.size() ? opcode_name(static_cast<unsigned char>(pickle[offset])) : "its end";
  return RunError(concat("bad pickle: byte ", offset, " (", opcode, "): ", why));
}

}  // namespace titan::formats
