#include "titan/mesh/degrees.h"

namespace titan::mesh {
namespace {

/// `a * b`, or 0 where that is more than `limit`.
std::int64_t product_up_to(std::int64_t limit, std::int64_t a, std::int64_t b) {
  return a > limit / b ? 0 : a * b;
}

/// The product of the degrees that are ranks of their own, or 0.
std::int64_t ranks_up_to(std::int64_t limit, const Degrees& degrees) {
  std::int64_t product = 1;
  for (const std::int64_t degree :
       {degrees.dp_replicate, degrees.dp_shard, degrees.cp, degrees.tp, degrees.pp}) {
    product = product_up_to(limit, product, degree);
  }
  return product;
}

/// What is too large, 0 here, divides nothing.
bool divides(std::int64_t part, std::int64_t whole) { return part != 0 && whole % part == 0; }

}  // namespace

std::optional<Degrees> resolved(Degrees degrees, std::int64_t world_size) {
  if (degrees.dp_shard == -1) {
    degrees.dp_shard = 1;
    const std::int64_t others = ranks_up_to(world_size, degrees);
    if (!divides(others, world_size)) return std::nullopt;
    degrees.dp_shard = world_size / others;
  }
  if (ranks_up_to(world_size, degrees) != world_size) return std::nullopt;
  return degrees;
}

bool experts_divide(const Degrees& resolved) {
  const std::int64_t ranks = expert_ranks(resolved);
  return divides(product_up_to(ranks, resolved.etp, resolved.ep), ranks);
}

bool expert_tensor_fits(const Degrees& degrees) {
  return degrees.ep == 1 || degrees.etp == 1 || degrees.etp == degrees.tp;
}

bool replicas_fit(const Degrees& resolved) {
  const bool shards = resolved.dp_shard > 1 || resolved.cp > 1;
  return resolved.dp_replicate == 1 || shards || resolved.pp == 1;
}

bool sequences_divide(const Degrees& degrees, std::int64_t seq_len) {
  const std::int64_t ranks = product_up_to(seq_len, degrees.tp, degrees.cp);
  return divides(product_up_to(seq_len, ranks, 2), seq_len);
}

}  // namespace titan::mesh
