#pragma once

#include <string>

#include "titan/parallel/expert_parallel.h"
#include "titan/parallel/tensor_parallel.h"

namespace titan::protocols {

// Tensor-parallel plans of decoders (decoder.h). Between blocks every rank has a part of the tokens; attention sees all of them
// with a part of the heads, feed-forward with a part of the hidden features.

inline constexpr parallel::Placement kCutTokens = parallel::Placement::cut(1);
inline constexpr parallel::Move kGatherTokens = {kCutTokens, parallel::Placement::shared()};

/// The plan of a whole decoder, given the lines of its blocks' "attention" and "feed_forward", and of what is below them. Output
/// and embedding are cut alike, by the vocabulary, so that they may share their weight. With `parallel_loss` logits stay cut.
parallel::TensorPlan decoder_plan(const parallel::TensorPlan& attention,
                                  const parallel::TensorPlan& feed_forward, bool parallel_loss);

/// Attention with a product each for queries, keys and values, and one behind it.
parallel::TensorPlan attention_plan();

/// SwiGLU: two products into the hidden features, one back; and `mixtures` of experts (module_pattern.h). The lines that fit the
/// model, whose layers are of one kind or of both.
parallel::TensorPlan feed_forward_plan(nn::Module& model, const std::string& mixtures,
                                       const comm::RankContext& context);

}  // namespace titan::protocols
