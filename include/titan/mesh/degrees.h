#pragma once

#include <compare>
#include <cstdint>
#include <optional>

namespace titan::mesh {

/// Parallelism degrees. As a config gives them `dp_shard` may be -1: it takes the ranks the others leave.
/// The product of the first five is the world size; experts (`ep`, `etp`) split the ranks of
/// `dp_shard * cp * tp`, and no others.
struct Degrees {
  std::int64_t dp_replicate = 1;
  std::int64_t dp_shard = -1;
  std::int64_t cp = 1;
  std::int64_t tp = 1;
  std::int64_t pp = 1;
  std::int64_t ep = 1;
  std::int64_t etp = 1;

  auto operator<=>(const Degrees&) const = default;
};

// The rules that degrees keep, all of which are at least 1 (`dp_shard` -1 before it is resolved). They
// are the user's: products of them may overflow, and do no harm here.

/// With `dp_shard` -1 replaced, or nothing where the degrees do not make the world size. Says nothing
/// about experts.
std::optional<Degrees> resolved(Degrees degrees, std::int64_t world_size);

/// The ranks that experts split, of resolved degrees.
inline std::int64_t expert_ranks(const Degrees& degrees) {
  return degrees.dp_shard * degrees.cp * degrees.tp;
}
/// Whether the experts' degrees split their ranks: `ep * etp` divides them.
bool experts_divide(const Degrees& resolved);
/// Whether expert tensor parallelism is off, without experts, or that of the rest of the model.
bool expert_tensor_fits(const Degrees& degrees);
/// Whether replicas without shards (DDP) go without pipeline stages, as they must.
bool replicas_fit(const Degrees& resolved);
/// Whether sequences of `seq_len` tokens split over tensor and twice over context parallelism.
bool sequences_divide(const Degrees& degrees, std::int64_t seq_len);

}  // namespace titan::mesh
