#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "titan/components/checkpoint/dcp_state.h"
#include "titan/formats/dcp/dcp_metadata.h"

namespace titan::components {

/// A rank's box of a tensor, without its bytes.
struct ProposedTensor {
  formats::DcpPath path;
  std::string dtype;
  std::vector<std::int64_t> full_sizes;
  std::vector<std::int64_t> offsets;
  std::vector<std::int64_t> sizes;
  bool operator==(const ProposedTensor&) const = default;
};

/// What a rank could write: all that it holds.
struct Proposal {
  std::vector<ProposedTensor> tensors;
  std::vector<formats::DcpPath> objects;
  bool operator==(const Proposal&) const = default;
};

/// "__3_0.distcp": the file that a rank writes.
std::string file_name_of(std::size_t rank);

/// Throws RunError for types that a checkpoint cannot hold, InternalError for boxes that lie outside.
Proposal propose(const FlatState& state);

/// What a rank writes: indices of its own state, in the order of its file.
struct Assignment {
  std::vector<std::size_t> objects;
  std::vector<std::size_t> tensors;
};

/// Who writes what.
struct SavePlan {
  std::vector<Assignment> ranks;
  formats::DcpMetadata metadata;  // without places
  /// Where in `metadata` the entries of each rank's file are: objects first, as assigned.
  struct Slot {
    std::size_t entry;
    std::size_t chunk;  // 0 for objects
  };
  std::vector<std::vector<Slot>> slots;
};

/// What several ranks hold is written by the one that has least to write so far, the first of
/// several such. Throws RunError, naming key and ranks, where ranks contradict each other and where
/// the boxes do not make up the whole. Nobody writes an empty box.
SavePlan make_save_plan(const std::vector<Proposal>& proposals);

std::string encode(const Proposal& proposal);
Proposal decode_proposal(const std::string& bytes);
std::string encode(const Assignment& assignment);
Assignment decode_assignment(const std::string& bytes);

}  // namespace titan::components
