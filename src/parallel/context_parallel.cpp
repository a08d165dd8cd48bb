#include "titan/parallel/context_parallel.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>

#include <variant>

#include "titan/base/errors.h"
#include "titan/comm/ring_attention.h"
#include "titan/config/distributed.h"
#include "titan/nn/attention.h"
#include "titan/parallel/module_pattern.h"
#include "titan/tools/logging.h"

namespace titan::parallel {

using mesh::MeshDim;

std::vector<nn::Chunk> TextCut::pieces(std::int64_t length, std::int64_t of_rank) const {
  if (!is_cut()) return {{0, length}};
  const std::int64_t count = head_tail ? 2 * ranks : ranks;
  TITAN_CHECK(length % count == 0, "a text of ", length, " tokens in ", count, " pieces");
  const std::int64_t each = length / count;
  std::vector<nn::Chunk> result = {{of_rank * each, each}};
  if (head_tail) result.push_back({(count - 1 - of_rank) * each, each});
  return result;
}

at::Tensor TextCut::part_of(const at::Tensor& whole, std::int64_t dim) const {
  if (!is_cut()) return whole;
  std::vector<at::Tensor> parts;
  for (const nn::Chunk& piece : pieces(whole.size(dim), rank)) {
    parts.push_back(whole.narrow(dim, piece.offset, piece.length));
  }
  return at::cat(parts, dim);
}

at::Tensor TextCut::in_rank_order(const at::Tensor& whole, std::int64_t dim) const {
  if (!is_cut()) return whole;
  std::vector<at::Tensor> parts;
  for (std::int64_t of_rank = 0; of_rank < ranks; ++of_rank) {
    for (const nn::Chunk& piece : pieces(whole.size(dim), of_rank)) {
      parts.push_back(whole.narrow(dim, piece.offset, piece.length));
    }
  }
  return at::cat(parts, dim);
}

std::shared_ptr<nn::SequenceInfo> TextCut::sequence(std::int64_t length, at::Device device) const {
  auto result = std::make_shared<nn::SequenceInfo>();
  if (!is_cut()) return result;
  const at::Tensor positions =
      at::arange(length, at::TensorOptions().dtype(at::kLong).device(device));
  result->positions = part_of(positions, 0);
  result->key_positions = in_rank_order(positions, 0);
  return result;
}

TextCut text_cut(const comm::RankContext& context, const config::Parallelism& parallelism) {
  TextCut cut;
  cut.ranks = context.dims.size(MeshDim::kCp);
  cut.rank = context.dims.coordinate(MeshDim::kCp, context.rank);
  cut.head_tail = parallelism.context_parallel_load_balancer.has_value();
  return cut;
}

namespace {

at::Tensor attend(const nn::Inputs& inputs, const comm::RingOptions& options,
                  comm::ProcessGroup& group) {
  const nn::AttentionMask& mask = inputs.sequence->mask;
  TITAN_CHECK(!std::holds_alternative<nn::PackedDocuments>(mask),
              "ring attention of packed documents");
  const auto* allowed = std::get_if<nn::AllowedMask>(&mask);
  const at::Tensor output = comm::ring_attention(
      inputs.at(0), inputs.at(1), inputs.at(2),
      allowed == nullptr ? std::nullopt : std::optional(allowed->allowed), options, group);
  return output.transpose(1, 2).contiguous();
}

}  // namespace

void apply_context_parallel(nn::Module& model, const std::string& pattern,
                            const comm::RankContext& context,
                            const config::Parallelism& parallelism) {
  if (!context.dims.cp_enabled()) return;
  comm::ProcessGroup& group = context.group(MeshDim::kCp);
  comm::RingOptions options;
  options.head_tail = text_cut(context, parallelism).head_tail;
  options.rotation = parallelism.context_parallel_rotate_method == config::RotateMethod::kAllGather
                         ? comm::Rotation::kAllGather
                         : comm::Rotation::kAllToAll;
  const auto modules = modules_matching(model, pattern);
  TITAN_CHECK(!modules.empty(), "no module fits '", pattern,
              "', where context parallelism attends");
  for (const auto& [name, module] : modules) {
    const auto* attention = dynamic_cast<nn::InnerAttention*>(module);
    TITAN_CHECK(attention != nullptr, name, " is not where attention is computed");
    options.scale = attention->scale();
    module->wrap_forward([options, attention, &group](const nn::Module::Forward& attend_alone,
                                                      const nn::Inputs& inputs) {
      const bool is_part = inputs.sequence && inputs.sequence->is_part();
      if (!is_part) return attend_alone(inputs);
      comm::RingOptions ring = options;
      ring.fast = attention->goes_fast(inputs);
      return nn::Tensors{attend(inputs, ring, group)};
    });
  }
  tools::log_info("Applied Context Parallel to the model");
}

}  // namespace titan::parallel
