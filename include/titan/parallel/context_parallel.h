#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "titan/comm/rank_context.h"
#include "titan/nn/chunk.h"
#include "titan/nn/module.h"

namespace titan::config {
struct Parallelism;
}

namespace titan::parallel {

/// How the ranks of context parallelism share every text.
struct TextCut {
  std::int64_t ranks = 1;
  std::int64_t rank = 0;
  /// Each rank has two pieces that lie equally far from the ends of a text, so that all attend to as much; else one.
  bool head_tail = true;

  bool is_cut() const { return ranks > 1; }
  /// What `of_rank` has of a text of `length` tokens, in order. Throws InternalError when it does not divide.
  std::vector<nn::Chunk> pieces(std::int64_t length, std::int64_t of_rank) const;
  /// This rank's part of a dimension: the tensor itself where texts are not cut.
  at::Tensor part_of(const at::Tensor& whole, std::int64_t dim) const;
  /// The parts of all ranks, one behind the other.
  at::Tensor in_rank_order(const at::Tensor& whole, std::int64_t dim) const;
  /// What this rank's part of texts of `length` tokens is to a model. Nothing is said where texts are not cut.
  std::shared_ptr<nn::SequenceInfo> sequence(std::int64_t length, at::Device device) const;
};
TextCut text_cut(const comm::RankContext& context, const config::Parallelism& parallelism);

/// Lets attention modules (`pattern`: module_pattern.h; each an nn::InnerAttention) see the keys of all ranks of
/// `cp` when their sequence is a part of a text (nn::SequenceInfo::key_positions): by ring attention. Nothing is done without
/// context parallelism. Apply it where tensor parallelism is applied, before anything is put around the blocks.
void apply_context_parallel(nn::Module& model, const std::string& pattern,
                            const comm::RankContext& context,
                            const config::Parallelism& parallelism);

}  // namespace titan::parallel
