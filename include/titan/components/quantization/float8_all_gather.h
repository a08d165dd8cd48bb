#pragma once

#include <memory>
#include <optional>
#include <unordered_map>
#include <vector>

#include "titan/comm/groups.h"
#include "titan/components/quantization/float8.h"
#include "titan/parallel/fsdp_extension.h"

namespace titan::components {

/// Weights that FSDP gathers in float8 (e4m3), one byte for an entry: each rank rounds its own part, in the type that it
/// keeps it in, with the scale of the whole. Scales are made anew when weights have changed, which somebody has to say. The twin of
/// torchao's float8/fsdp_utils.py.
class Float8AllGather : public parallel::FsdpExtension {
 public:
  explicit Float8AllGather(std::shared_ptr<comm::Groups> groups) : groups_(std::move(groups)) {}

  /// Before the model is sharded: this weight `[out, in]` is gathered so.
  void add(const nn::Parameter& weight) { weights_.try_emplace(&weight); }
  std::size_t size() const { return weights_.size(); }

  /// What layers multiply with while the weight is gathered; nothing: it is gathered as it is, or not cut.
  std::optional<Float8Matrix> gathered(const nn::Parameter& weight) const;

  /// Weights have changed: the next all-gather of each unit first makes the scales of its own.
  void forget_scales();
  /// Weights have changed: makes the scales of all that have been gathered before, of which the largest entries are
  /// exchanged together. All ranks call it.
  void compute_scales();

  bool gathers_bytes(const nn::Parameter& parameter) const override {
    return weights_.contains(&parameter);
  }
  void pre_all_gather(const std::vector<Part>& parts) override;
  void post_all_gather(const nn::Parameter& parameter, const at::Tensor& bytes) override;

 private:
  struct Weight {
    at::Tensor values;  // of the whole
    at::Tensor scale;   // undefined: to be made
  };
  struct Shard {
    const nn::Parameter* parameter;
    at::Tensor tensor;
  };
  void make_scales(const std::vector<Shard>& shards);

  std::shared_ptr<comm::Groups> groups_;
  std::unordered_map<const nn::Parameter*, Weight> weights_;
  std::vector<const nn::Parameter*> gathered_;  // of these, in the order of their first all-gather
};

}  // namespace titan::components
