#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "titan/base/errors.h"
#include "titan/formats/pickle/pickle.h"

namespace titan::formats {

struct PickleNode;

/// What lies on the stack: a small value, or a node.
using PickleSlot = std::variant<std::monostate, bool, std::int64_t, double, PickleNode*>;

/// A value while a pickle is read. It may still grow after others hold it, and hold itself.
struct PickleNode {
  enum class Kind : std::uint8_t {
    kText,
    kBytes,
    kList,
    kTuple,
    kDict,
    kGlobal,
    kObject,
    kPersistentId
  };

  /// What only some objects have.
  struct Extras {
    std::string_view module;  // of a global
    std::optional<PickleSlot> state;
    std::vector<PickleSlot> list_items;
    std::vector<PickleSlot> dict_items;
  };

  // Metadata of a large job are millions of these: nothing is kept that few of them have.
  Kind kind;
  PickleObject::Made made = PickleObject::Made::kCall;
  enum class Walk : std::uint8_t { kNotYet, kWithin, kDone } walk = Walk::kNotYet;
  std::uint32_t height = 0;    // of the containers within it
  std::uint64_t offset = 0;    // of the opcode that made it
  std::string_view text = {};  // of text and bytes; a global's name
  /// Of lists and tuples; keys and values of a dict in turn; an object's class and tuple of
  /// arguments; a persistent id.
  std::vector<PickleSlot> items = {};
  std::unique_ptr<Extras> extras = {};

  // For the walk that makes values.
  std::uint64_t parts = 0;
  PickleValue value = {};
};

/// All nodes of a pickle, whoever holds them: taking it down needs no recursion. Texts are views of
/// the pickle.
struct PickleGraph {
  std::deque<PickleNode> nodes;
  std::deque<std::string> decoded;  // bytes that are not in the pickle as such
  PickleSlot root;
};

/// Runs the opcodes. Throws RunError naming byte and opcode.
PickleGraph run_pickle(std::string_view pickle);

/// Makes values of the nodes, each once, and takes the graph apart. Throws RunError for values that
/// hold themselves and those beyond the limits.
PickleValue make_value(PickleGraph graph, std::string_view pickle, const PickleLimits& limits);

/// "bad pickle: byte 17 (REDUCE): why".
RunError pickle_error(std::string_view pickle, std::uint64_t offset, const std::string& why);

}  // namespace titan::formats
