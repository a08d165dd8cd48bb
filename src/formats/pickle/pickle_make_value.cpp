#include <algorithm>
#include <limits>
#include <utility>

#include "formats/pickle/pickle_graph.h"

namespace titan::formats {
namespace {

using Kind = PickleNode::Kind;
using Walk = PickleNode::Walk;
using Pairs = std::vector<std::pair<PickleValue, PickleValue>>;

std::uint64_t saturating_add(std::uint64_t a, std::uint64_t b) {
  return a > std::numeric_limits<std::uint64_t>::max() - b
             ? std::numeric_limits<std::uint64_t>::max()
             : a + b;
}

/// Depth first, each node once. Shared nodes are counted wherever they are used, so that what looks
/// small but unfolds without end is refused before anybody walks over it.
class ValueMaker {
 public:
  ValueMaker(std::string_view pickle, const PickleLimits& limits)
      : pickle_(pickle), limits_(limits) {}

  PickleValue make(const PickleSlot& slot, PickleNode* parent) {
    if (const bool* value = std::get_if<bool>(&slot)) {
      return PickleValue::boolean(*value);
    }
    if (const std::int64_t* value = std::get_if<std::int64_t>(&slot)) {
      return PickleValue::integer(*value);
    }
    if (const double* value = std::get_if<double>(&slot)) {
      return PickleValue::real(*value);
    }
    PickleNode* const* node = std::get_if<PickleNode*>(&slot);
    return node != nullptr ? make_node(**node, parent) : PickleValue();
  }

 private:
  PickleValue make_node(PickleNode& node, PickleNode* parent) {
    if (node.walk != Walk::kDone) {
      if (node.walk == Walk::kWithin) {
        throw pickle_error(pickle_, node.offset, "a value that holds itself");
      }
      node.walk = Walk::kWithin;
      if (++depth_ > limits_.max_depth) {
        throw too_deep(node);
      }
      node.parts = 1 + node.text.size() / 16 + node.items.size();
      node.value = build(node);
      node.walk = Walk::kDone;
      --depth_;
      if (node.parts > limits_.max_parts) {
        throw pickle_error(pickle_, node.offset,
                           concat("unfolds to more than ", limits_.max_parts, " parts"));
      }
    }
    if (parent != nullptr) {
      parent->parts = saturating_add(parent->parts, node.parts);
      parent->height = std::max(parent->height, node.height + 1);
      if (parent->height >= limits_.max_depth) {
        throw too_deep(*parent);
      }
    }
    return node.value;
  }

  PickleValue build(PickleNode& node) {
    switch (node.kind) {
      case Kind::kText:
        return PickleValue::text(std::string(node.text));
      case Kind::kBytes:
        return PickleValue::bytes(std::string(node.text));
      case Kind::kGlobal:
        return PickleValue::global(std::string(node.extras->module), std::string(node.text));
      case Kind::kList:
        return PickleValue::list(make_all(std::exchange(node.items, {}), node));
      case Kind::kTuple:
        return PickleValue::tuple(make_all(std::exchange(node.items, {}), node));
      case Kind::kDict:
        return PickleValue::dict(make_pairs(std::exchange(node.items, {}), node));
      case Kind::kPersistentId:
        return PickleValue::persistent_id(make(node.items.front(), &node));
      case Kind::kObject:
        return PickleValue::object(make_object(node));
    }
    throw InternalError("a node of no kind");
  }

  PickleObject make_object(PickleNode& node) {
    PickleObject object{
        .made = node.made, .type = make(node.items[0], &node), .args = make(node.items[1], &node)};
    if (const std::unique_ptr<PickleNode::Extras> extras = std::move(node.extras)) {
      node.parts += extras->list_items.size() + extras->dict_items.size() + 1;
      object.has_state = extras->state.has_value();
      object.state = object.has_state ? make(*extras->state, &node) : PickleValue();
      object.list_items = make_all(extras->list_items, node);
      object.dict_items = make_pairs(extras->dict_items, node);
    }
    return object;
  }

  std::vector<PickleValue> make_all(const std::vector<PickleSlot>& slots, PickleNode& parent) {
    std::vector<PickleValue> values;
    values.reserve(slots.size());
    for (const PickleSlot& slot : slots) {
      values.push_back(make(slot, &parent));
    }
    return values;
  }

  Pairs make_pairs(const std::vector<PickleSlot>& slots, PickleNode& parent) {
    Pairs pairs;
    pairs.reserve(slots.size() / 2);
    for (std::size_t i = 0; i + 1 < slots.size(); i += 2) {
      PickleValue key = make(slots[i], &parent);
      pairs.emplace_back(std::move(key), make(slots[i + 1], &parent));
    }
    return pairs;
  }

  RunError too_deep(const PickleNode& node) const {
    return pickle_error(pickle_, node.offset,
                        concat("more than ", limits_.max_depth, " containers within each other"));
  }

  std::string_view pickle_;
  const PickleLimits& limits_;
  std::size_t depth_ = 0;
};

}  // namespace

PickleValue make_value(PickleGraph graph, std::string_view pickle, const PickleLimits& limits) {
  return ValueMaker(pickle, limits).make(graph.root, nullptr);
}

PickleValue read_pickle(std::string_view pickle, const PickleLimits& limits) {
  return make_value(run_pickle(pickle), pickle, limits);
}

}  // namespace titan::formats
