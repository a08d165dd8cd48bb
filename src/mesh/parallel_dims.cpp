#include "titan/mesh/parallel_dims.h"

#include <utility>

#include "titan/base/errors.h"

namespace titan::mesh {
namespace {

class Violations {
 public:
  template <class... Parts>
  void add(const Parts&... parts) {
    text_ += concat("\n  ", parts...);
  }
  bool any() const { return !text_.empty(); }
  void throw_if_any(std::int64_t world_size) const {
    if (any()) {
      throw ConfigError(concat("invalid parallel dims for ", world_size, " ranks:", text_));
    }
  }

 private:
  std::string text_;
};

void check_signs(const Degrees& degrees, std::int64_t world_size, Violations& violations) {
  const std::pair<std::string_view, std::int64_t> positive[] = {
      {"dp_replicate", degrees.dp_replicate},
      {"cp", degrees.cp},
      {"tp", degrees.tp},
      {"pp", degrees.pp},
      {"ep", degrees.ep},
      {"etp", degrees.etp},
      {"the world size", world_size}};
  for (const auto& [name, degree] : positive) {
    if (degree < 1) {
      violations.add(name, " must be at least 1, got ", degree);
    }
  }
  if (degrees.dp_shard != -1 && degrees.dp_shard < 1) {
    violations.add("dp_shard must be -1 (the ranks the others leave) or at least 1, got ",
                   degrees.dp_shard);
  }
}

void add_wrong_product(const Degrees& degrees, std::int64_t world_size, Violations& violations) {
  violations.add("dp_replicate(", degrees.dp_replicate, ") * dp_shard(", degrees.dp_shard,
                 ") * cp(", degrees.cp, ") * tp(", degrees.tp, ") * pp(", degrees.pp, ") ",
                 degrees.dp_shard == -1 ? "does not divide" : "is not", " the world size ",
                 world_size);
}

void check_expert_tensor(const Degrees& degrees, Violations& violations) {
  if (!expert_tensor_fits(degrees)) {
    violations.add("etp(", degrees.etp, ") must be 1 or tp(", degrees.tp, ")");
  }
}

void check_expert_ranks(const Degrees& degrees, Violations& violations) {
  if (!experts_divide(degrees)) {
    violations.add("ep(", degrees.ep, ") * etp(", degrees.etp, ") does not divide dp_shard(",
                   degrees.dp_shard, ") * cp(", degrees.cp, ") * tp(", degrees.tp,
                   ") = ", expert_ranks(degrees));
  }
}

}  // namespace

/// The ranks of a dimension are `size` many, `stride` apart.
struct ParallelDims::Axis {
  std::int64_t size;
  std::int64_t stride;
};

ParallelDims::ParallelDims(const Degrees& degrees, std::int64_t world_size)
    : degrees_(degrees), world_size_(world_size) {
  Violations violations;
  check_signs(degrees_, world_size_, violations);
  violations.throw_if_any(world_size_);
  check_expert_tensor(degrees_, violations);
  if (const auto whole = resolved(degrees_, world_size_)) {
    degrees_ = *whole;
    check_expert_ranks(degrees_, violations);
  } else {
    add_wrong_product(degrees_, world_size_, violations);
  }
  violations.throw_if_any(world_size_);
}

ParallelDims::Axis ParallelDims::axis(MeshDim dim) const {
  const auto& [dp_replicate, dp_shard, cp, tp, pp, ep, etp] = degrees_;
  const std::int64_t fsdp = dp_shard * cp;
  switch (dim) {
    case MeshDim::kPp:
      return {pp, dp_replicate * fsdp * tp};
    case MeshDim::kBatch:
      return {dp_replicate * dp_shard, cp * tp};
    case MeshDim::kLoss:
      return {dp_replicate * fsdp, tp};
    case MeshDim::kDpReplicate:
      return {dp_replicate, fsdp * tp};
    case MeshDim::kFsdp:
      return {fsdp, tp};
    case MeshDim::kCp:
      return {cp, tp};
    case MeshDim::kTp:
      return {tp, 1};
    case MeshDim::kEp:
      return {ep, etp};
    case MeshDim::kEfsdp:
      return {fsdp * tp / (ep * etp), ep * etp};
    case MeshDim::kEtp:
      return {etp, 1};
  }
  TITAN_CHECK(false, "no such mesh dimension: ", static_cast<int>(dim));
  return {};
}

std::int64_t ParallelDims::size(MeshDim dim) const { return axis(dim).size; }

bool ParallelDims::exists(MeshDim dim) const {
  return dim == MeshDim::kEfsdp ? ep_enabled() : size(dim) > 1;
}

std::vector<MeshDim> ParallelDims::active_dims() const {
  std::vector<MeshDim> active;
  for (std::size_t i = 0; i < kMeshDimNames.size(); ++i) {
    const auto dim = static_cast<MeshDim>(i);
    if (size(dim) > 1) {
      active.push_back(dim);
    }
  }
  return active;
}

std::vector<std::int64_t> ParallelDims::ranks(MeshDim dim, std::int64_t rank) const {
  const Axis along = axis(dim);
  const std::int64_t first = rank - coordinate(dim, rank) * along.stride;
  std::vector<std::int64_t> result;
  result.reserve(static_cast<std::size_t>(along.size));
  for (std::int64_t i = 0; i < along.size; ++i) {
    result.push_back(first + i * along.stride);
  }
  return result;
}

std::int64_t ParallelDims::coordinate(MeshDim dim, std::int64_t rank) const {
  TITAN_CHECK(rank >= 0 && rank < world_size_, "rank ", rank, " of ", world_size_);
  const Axis along = axis(dim);
  return rank / along.stride % along.size;
}

std::string building_text(const ParallelDims& dims) {
  const Degrees& degrees = dims.degrees();
  return concat("Building device mesh with parallelism: pp=", degrees.pp,
                ", dp_replicate=", degrees.dp_replicate, ", dp_shard=", degrees.dp_shard,
                ", cp=", degrees.cp, ", tp=", degrees.tp, ", ep=", degrees.ep,
                ", etp=", degrees.etp);
}

std::string created_text(const ParallelDims& dims) {
  std::string names;
  for (const MeshDim dim : dims.active_dims()) {
    names += concat(names.empty() ? "'" : ", '", to_string(dim), "'");
  }
  return concat("Successfully created meshes with active dimensions: [", names, "]");
}

}  // namespace titan::mesh
