#pragma once

#include <memory>
#include <string>
#include <vector>

#include "titan/protocols/name_table.h"
#include "titan/protocols/state_dict_adapter.h"

namespace titan::protocols {

/// Translates by a table of names. A tensor is the same on both sides but for these:
///
/// - A rule with a second "{}" on Hugging Face's side only, the number of an expert, is for experts that have a tensor
///   each there and one for all here: ours `[experts, ...]` is theirs stacked.
/// - A rule without a name of theirs is for tensors that only we have: they are not written, and zeros when read.
/// - Where output and embedding share their weight (`tied`) theirs has it once, as the embedding; a head that a file
///   has all the same is not read.
class NameTableAdapter : public StateDictAdapter {
 public:
  /// `model`: as messages call it. `rules` outlive the object.
  NameTableAdapter(std::string model, const std::vector<NameRule>& rules, bool tied);

  std::vector<HfTensor> hf_tensors(const std::vector<TensorShape>& ours) const override;
  at::Tensor to_hf(const std::string& name, const std::vector<at::Tensor>& sources) const override;
  std::vector<TensorSlice> hf_slices(const TensorSlice& ours) const override;
  at::Tensor from_hf(const TensorSlice& ours, const std::vector<at::Tensor>& slices) const override;
  bool is_ignored(const std::string& hf_name) const override;
  std::optional<std::string> stand_in(const std::string& hf_name) const override;

 protected:
  /// Throws InternalError where there is none.
  TranslatedName in_hf(const std::string& ours) const;
  TranslatedName in_ours(const std::string& hf_name) const;

 private:
  bool is_tied_output(const std::string& ours) const;

  std::string model_;
  const std::vector<NameRule>& rules_;
  bool tied_;
};

}  // namespace titan::protocols
