#include "titan/protocols/decoder_args.h"

#include "titan/base/errors.h"

namespace titan::protocols {

std::vector<std::string> take_sequence_length(std::int64_t& max_seq_len, std::int64_t seq_len) {
  std::vector<std::string> warnings;
  if (seq_len > max_seq_len) {
    warnings.push_back(
        concat("Sequence length ", seq_len, " exceeds original maximum ", max_seq_len, "."));
  }
  max_seq_len = seq_len;
  return warnings;
}

std::vector<std::string> sharing_problems(const SharedCounts& counts, std::int64_t degree) {
  std::vector<std::string> problems;
  const auto must_divide = [&](const char* what, std::int64_t heads) {
    if (heads % degree == 0) return;
    problems.push_back(concat("its ", heads, " ", what, " do not divide among ", degree, " ranks"));
  };
  must_divide("heads", counts.heads);
  must_divide("key/value heads", counts.kv_heads);
  if (counts.vocabulary < degree) {
    problems.push_back(
        concat("its vocabulary of ", counts.vocabulary, " is smaller than the ", degree, " ranks"));
  }
  return problems;
}

ModelSize decoder_size(const nn::Module& model, const DecoderShape& shape, std::int64_t seq_len) {
  ModelSize size;
  std::int64_t multiplied = 0;
  std::int64_t of_experts = 0;
  for (const nn::NamedParameter& parameter : model.named_parameters()) {
    const std::int64_t count = parameter.tensor().numel();
    size.parameters += count;
    if (parameter.name.find("moe.experts") != std::string::npos) {
      of_experts += count;
    } else if (parameter.name != "tok_embeddings.weight" || shape.tied) {
      // Looking up a row is no product; a tied table is multiplied as the output layer.
      multiplied += count;
    }
  }
  const std::int64_t passed = of_experts * shape.top_k / shape.num_experts;
  if (of_experts > 0) size.active_parameters = size.parameters - of_experts + passed;
  multiplied += passed;
  // 6 = (1 forward + 2 backward) products x 2 operations. Scores and values together are `head_dims` wide.
  size.flops_per_token =
      6 * multiplied + 6 * shape.n_layers * shape.n_heads * shape.head_dims * seq_len;
  return size;
}

}  // namespace titan::protocols
