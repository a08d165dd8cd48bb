#pragma once

#include <functional>

#include "titan/comm/rank_context.h"
#include "titan/nn/module.h"

namespace titan::config {
struct Parallelism;
struct Training;
}  // namespace titan::config

namespace titan::parallel {

/// Says whether coming backward passes sum gradients over the ranks: see `Fsdp`, `Ddp`.
using GradientSync = std::function<void(bool)>;

/// Applies FSDP, HSDP or DDP, as the degrees say, to a language model on the meta device whose
/// children are `tok_embeddings`, `layers`, `norm` and `output`, each of which may be missing. One
/// unit each: the embedding, every layer, norm with output, and the rest; the reference's order.
/// Returns an empty function when there is one data-parallel rank. Throws ConfigError.
GradientSync apply_data_parallel(nn::Module& model, const comm::RankContext& context,
                                 const config::Parallelism& parallelism,
                                 const config::Training& training);

}  // namespace titan::parallel
