#include "titan/comm/byte_exchange.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <cstring>
#include <numeric>

#include "titan/base/errors.h"

namespace titan::comm {
namespace {

using Lengths = std::vector<std::int64_t>;

std::int64_t sum_of(const Lengths& lengths) {
  return std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
}

/// Tells each rank how many bytes it will get, and hears it of each.
Lengths exchange_lengths(ProcessGroup& group, const Lengths& sent) {
  const at::Tensor input = at::empty({group.size()}, at::kLong);
  const at::Tensor output = at::empty({group.size()}, at::kLong);
  std::memcpy(input.mutable_data_ptr(), sent.data(), sent.size() * sizeof(std::int64_t));
  const Lengths ones(sent.size(), 1);
  group.all_to_all(output, input, ones, ones).wait();
  const auto* lengths = output.const_data_ptr<std::int64_t>();
  return {lengths, lengths + group.size()};
}

/// `to[r]` goes to rank r; returned is what came from each.
std::vector<std::string> deliver(ProcessGroup& group, const std::vector<std::string>& to) {
  TITAN_CHECK(to.size() == static_cast<std::size_t>(group.size()), "one part for each rank of ",
              group.name(), " is wanted, not ", to.size());
  Lengths sent;
  for (const std::string& bytes : to) sent.push_back(static_cast<std::int64_t>(bytes.size()));
  const Lengths received = exchange_lengths(group, sent);
  const at::Tensor input = at::empty({sum_of(sent)}, at::kByte);
  const at::Tensor output = at::empty({sum_of(received)}, at::kByte);
  char* next = static_cast<char*>(input.mutable_data_ptr());
  for (const std::string& bytes : to) {
    std::copy(bytes.begin(), bytes.end(), next);
    next += bytes.size();
  }
  group.all_to_all(output, input, received, sent).wait();
  std::vector<std::string> from;
  const char* begin = static_cast<const char*>(output.const_data_ptr());
  for (const std::int64_t length : received) {
    from.emplace_back(begin, static_cast<std::size_t>(length));
    begin += length;
  }
  return from;
}

}  // namespace

std::vector<std::string> gather_bytes(ProcessGroup& group, const std::string& bytes,
                                      std::int64_t root) {
  std::vector<std::string> to(static_cast<std::size_t>(group.size()));
  to[static_cast<std::size_t>(root)] = bytes;
  std::vector<std::string> from = deliver(group, to);
  if (group.rank() != root) from.clear();
  return from;
}

std::string scatter_bytes(ProcessGroup& group, const std::vector<std::string>& parts,
                          std::int64_t root) {
  const std::vector<std::string> nothing(static_cast<std::size_t>(group.size()));
  return deliver(group, group.rank() == root ? parts : nothing)[static_cast<std::size_t>(root)];
}

std::string broadcast_bytes(ProcessGroup& group, const std::string& bytes, std::int64_t root) {
  const at::Tensor length = at::empty({1}, at::kLong);
  *length.mutable_data_ptr<std::int64_t>() = static_cast<std::int64_t>(bytes.size());
  group.broadcast(length, root).wait();
  const at::Tensor content = at::empty({*length.const_data_ptr<std::int64_t>()}, at::kByte);
  if (content.numel() == 0) return {};
  if (group.rank() == root) std::memcpy(content.mutable_data_ptr(), bytes.data(), bytes.size());
  group.broadcast(content, root).wait();
  return {static_cast<const char*>(content.const_data_ptr()),
          static_cast<std::size_t>(content.numel())};
}

}  // namespace titan::comm
