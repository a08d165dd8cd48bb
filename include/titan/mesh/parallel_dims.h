#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "titan/mesh/degrees.h"

namespace titan::mesh {

/// The one-dimensional meshes of a job, in the reference's order.
enum class MeshDim { kPp, kBatch, kLoss, kDpReplicate, kFsdp, kCp, kTp, kEp, kEfsdp, kEtp };
inline constexpr std::array<std::string_view, 10> kMeshDimNames = {
    "pp", "batch", "loss", "dp_replicate", "fsdp", "cp", "tp", "ep", "efsdp", "etp"};
constexpr std::string_view to_string(MeshDim dim) {
  return kMeshDimNames[static_cast<std::size_t>(dim)];
}

/// Which ranks work together on what: pure arithmetic on the degrees, as TorchTitan's ParallelDims.
/// A rank is `((pp * batch + b) * cp + c) * tp + t`, where `b = dp_replicate * shard_degree +
/// dp_shard`; expert meshes split the same `fsdp * tp` ranks of a block as `(efsdp, ep, etp)`.
class ParallelDims {
 public:
  /// Throws ConfigError with every rule that the degrees break for this world size.
  ParallelDims(const Degrees& degrees, std::int64_t world_size);

  /// With `dp_shard` resolved.
  const Degrees& degrees() const { return degrees_; }
  std::int64_t world_size() const { return world_size_; }

  std::int64_t size(MeshDim dim) const;
  /// Whether a group is needed: more than one rank; efsdp: whenever there is expert parallelism, and
  /// only then.
  bool exists(MeshDim dim) const;
  /// The dimensions of more than one rank, in the enumeration's order; efsdp also without expert
  /// parallelism, as the reference lists them.
  std::vector<MeshDim> active_dims() const;
  /// The ranks that share everything but this dimension with `rank`, in the mesh's order.
  std::vector<std::int64_t> ranks(MeshDim dim, std::int64_t rank) const;
  /// The place of `rank` along the dimension, from 0.
  std::int64_t coordinate(MeshDim dim, std::int64_t rank) const;

  bool dp_replicate_enabled() const { return degrees_.dp_replicate > 1; }
  bool dp_shard_enabled() const { return degrees_.dp_shard > 1; }
  bool dp_enabled() const { return dp_replicate_enabled() || dp_shard_enabled(); }
  bool cp_enabled() const { return degrees_.cp > 1; }
  bool dp_cp_enabled() const { return dp_enabled() || cp_enabled(); }
  /// Context parallelism alone shards parameters too.
  bool fsdp_enabled() const { return dp_shard_enabled() || cp_enabled(); }
  bool tp_enabled() const { return degrees_.tp > 1; }
  bool pp_enabled() const { return degrees_.pp > 1; }
  bool ep_enabled() const { return degrees_.ep > 1; }
  bool etp_enabled() const { return degrees_.etp > 1; }
  /// Ranks that work on the same tokens.
  std::int64_t non_data_parallel_size() const { return degrees_.cp * degrees_.tp * degrees_.pp; }
  /// What a sequence length must be a multiple of.
  std::int64_t seq_len_divisor() const { return degrees_.tp * degrees_.cp * 2; }

 private:
  struct Axis;
  Axis axis(MeshDim dim) const;

  Degrees degrees_;
  std::int64_t world_size_;
};

/// "Building device mesh with parallelism: pp=1, dp_replicate=2, ...", for the log.
std::string building_text(const ParallelDims& dims);
/// "Successfully created meshes with active dimensions: ['batch', 'fsdp']", for the log.
std::string created_text(const ParallelDims& dims);

}  // namespace titan::mesh
