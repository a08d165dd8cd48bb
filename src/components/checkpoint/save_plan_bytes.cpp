// Plans as they go from rank to rank: pickles, whose reader checks every length.
#include <utility>

#include "components/checkpoint/save_plan.h"
#include "titan/base/errors.h"
#include "titan/formats/pickle/pickle.h"

namespace titan::components {
namespace {

using formats::DcpPath;
using formats::read_pickle;
using formats::write_pickle;

using Value = formats::PickleValue;
using Integers = std::vector<std::int64_t>;

constexpr int kProtocol = 4;

template <class List, class Make>
Value list_of(const List& list, const Make& make) {
  std::vector<Value> items;
  for (const auto& item : list) items.push_back(make(item));
  return Value::list(std::move(items));
}

Value value_of(const Integers& integers) { return list_of(integers, &Value::integer); }

Value value_of(const std::vector<std::size_t>& indices) {
  return list_of(indices,
                 [](std::size_t i) { return Value::integer(static_cast<std::int64_t>(i)); });
}

Value value_of(const DcpPath& path) {
  return list_of(path, [](const auto& part) {
    const auto* text = std::get_if<std::string>(&part);
    return text != nullptr ? Value::text(*text) : Value::integer(std::get<std::int64_t>(part));
  });
}

Value value_of(const ProposedTensor& tensor) {
  return Value::list({value_of(tensor.path), Value::text(tensor.dtype), value_of(tensor.full_sizes),
                      value_of(tensor.offsets), value_of(tensor.sizes)});
}

/// Another rank is the same program: what does not fit is a bug, or a group that others use as well.
template <class T>
const T& expect(const Value& value) {
  const T* found = value.get_if<T>();
  TITAN_CHECK(found != nullptr, "a rank sent a plan with a ", value.kind(), " out of place");
  return *found;
}

const std::vector<Value>& items_of(const Value& value) {
  return expect<formats::PickleList>(value).items;
}

const std::vector<Value>& items_of(const Value& value, std::size_t count) {
  const std::vector<Value>& items = items_of(value);
  TITAN_CHECK(items.size() == count, "a rank sent a plan with ", items.size(), " parts");
  return items;
}

Integers integers_of(const Value& value) {
  Integers integers;
  for (const Value& item : items_of(value)) integers.push_back(expect<std::int64_t>(item));
  return integers;
}

std::vector<std::size_t> indices_of(const Value& value) {
  std::vector<std::size_t> indices;
  for (const std::int64_t i : integers_of(value)) indices.push_back(static_cast<std::size_t>(i));
  return indices;
}

DcpPath path_of(const Value& value) {
  DcpPath path;
  for (const Value& part : items_of(value)) {
    if (const auto* text = part.get_if<std::string>()) {
      path.emplace_back(*text);
    } else {
      path.emplace_back(expect<std::int64_t>(part));
    }
  }
  return path;
}

}  // namespace

std::string encode(const Proposal& proposal) {
  const auto paths = list_of(proposal.objects, [](const DcpPath& p) { return value_of(p); });
  const auto tensors =
      list_of(proposal.tensors, [](const ProposedTensor& tensor) { return value_of(tensor); });
  return write_pickle(Value::list({tensors, paths}), kProtocol);
}

Proposal decode_proposal(const std::string& bytes) {
  const Value value = read_pickle(bytes);
  const std::vector<Value>& parts = items_of(value, 2);
  Proposal proposal;
  for (const Value& item : items_of(parts[0])) {
    const std::vector<Value>& fields = items_of(item, 5);
    proposal.tensors.push_back({path_of(fields[0]), expect<std::string>(fields[1]),
                                integers_of(fields[2]), integers_of(fields[3]),
                                integers_of(fields[4])});
  }
  for (const Value& item : items_of(parts[1])) proposal.objects.push_back(path_of(item));
  return proposal;
}

std::string encode(const Assignment& assignment) {
  return write_pickle(Value::list({value_of(assignment.objects), value_of(assignment.tensors)}),
                      kProtocol);
}

Assignment decode_assignment(const std::string& bytes) {
  const Value value = read_pickle(bytes);
  const std::vector<Value>& parts = items_of(value, 2);
  return {indices_of(parts[0]), indices_of(parts[1])};
}

}  // namespace titan::components
