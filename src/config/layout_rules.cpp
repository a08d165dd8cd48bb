#include "config/layout_rules.h"

#include "config/layout.h"

namespace titan::config {
namespace {

using mesh::Degrees;

void degrees_make_world_size(const Rules& rules) {
  const Degrees degrees = rules.config.parallelism.degrees();
  std::string product;
  for (std::size_t i = 0; i < kRankDegrees; ++i) {
    const auto& [name, degree] = kDegreeOptions[i];
    if (degrees.*degree != -1) {
      product += concat(product.empty() ? "" : " * ", name, "(", degrees.*degree, ")");
    }
  }
  rules.broken({"parallelism.tensor_parallel_degree", "parallelism.pipeline_parallel_degree",
                "parallelism.context_parallel_degree", "parallelism.data_parallel_replicate_degree",
                "parallelism.data_parallel_shard_degree"},
               "invalid parallel dims: ", product,
               degrees.dp_shard == -1 ? " does not divide" : " is not", " the world size ",
               rules.world_size);
}

void expert_tensor_is_off_or_tensor(const Rules& rules) {
  const Degrees degrees = rules.config.parallelism.degrees();
  if (!mesh::expert_tensor_fits(degrees)) {
    rules.broken({"parallelism.expert_tensor_parallel_degree"},
                 "parallelism.expert_tensor_parallel_degree must be 1 or tensor_parallel_degree (",
                 degrees.tp, "), got ", degrees.etp);
  }
}

void experts_split_their_ranks(const Rules& rules, const Degrees& degrees) {
  if (!mesh::experts_divide(degrees)) {
    rules.broken(
        {"parallelism.expert_parallel_degree", "parallelism.expert_tensor_parallel_degree"},
        "parallelism.expert_parallel_degree (", degrees.ep, ") * expert_tensor_parallel_degree (",
        degrees.etp, ") must divide the ranks of shard * context * tensor parallelism (",
        mesh::expert_ranks(degrees), ")");
  }
}

void replicas_alone_or_sharded(const Rules& rules, const Degrees& degrees) {
  if (!mesh::replicas_fit(degrees)) {
    rules.broken({"parallelism.data_parallel_replicate_degree"},
                 "DDP (data_parallel_replicate_degree without data_parallel_shard_degree) does not "
                 "combine with tensor or pipeline parallelism: shard as well");
  }
}

/// Behind the first problem from `first` on.
void add_nearest_layouts(const Rules& rules, std::size_t first) {
  if (rules.problems.size() == first) {
    return;
  }
  const JobConfig& config = rules.config;
  std::string layouts;
  for (const Degrees& near :
       nearest_layouts(config.parallelism.degrees(), rules.world_size, config.training.seq_len)) {
    layouts +=
        concat(layouts.empty() ? "; nearest valid layouts: {" : " {", layout_text(near), "}");
  }
  rules.problems[first].what += layouts;
}

void seq_len_divides(const Rules& rules) {
  const Parallelism& parallelism = rules.config.parallelism;
  const std::int64_t tp = parallelism.tensor_parallel_degree;
  const std::int64_t cp = parallelism.context_parallel_degree;
  const std::int64_t seq_len = rules.config.training.seq_len;
  if (!mesh::sequences_divide(parallelism.degrees(), seq_len)) {
    rules.broken({"training.seq_len", "parallelism.tensor_parallel_degree",
                  "parallelism.context_parallel_degree"},
                 "training.seq_len (", seq_len,
                 ") must be a multiple of 2 * "
                 "tensor_parallel_degree (",
                 tp, ") * context_parallel_degree (", cp, ")");
  }
}

}  // namespace

void check_layout(const Rules& rules) {
  const std::size_t first = rules.problems.size();
  if (const auto whole = mesh::resolved(rules.config.parallelism.degrees(), rules.world_size)) {
    experts_split_their_ranks(rules, *whole);
    replicas_alone_or_sharded(rules, *whole);
  } else {
    degrees_make_world_size(rules);
  }
  expert_tensor_is_off_or_tensor(rules);
  add_nearest_layouts(rules, first);
  seq_len_divides(rules);
}

}  // namespace titan::config
