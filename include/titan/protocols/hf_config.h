#pragma once

#include <cstdint>
#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

namespace titan::protocols {

/// The `config.json` beside Hugging Face weights, whose fields are compared with what they are in ours. What
/// differs is written down as a sentence each. Fields are named by dotted paths ("rope_parameters.rope_theta").
class HfConfig {
 public:
  /// Throws RunError when the text is no JSON object.
  explicit HfConfig(const std::string& text);
  ~HfConfig();

  /// Whether the field is there and not null.
  bool has(const std::string& field) const;
  /// The object in a field; null where there is none.
  std::unique_ptr<HfConfig> inside(const std::string& field) const;
  /// Nothing where the field is no text.
  std::optional<std::string> text(const std::string& field) const;

  /// `fallback`: what the field means where it is missing or null; nothing: then it is not compared.
  void compare(const std::string& field, double ours, std::optional<double> fallback,
               std::vector<std::string>& differences) const;
  void compare_text(const std::string& field, const std::string& ours,
                    std::vector<std::string>& differences) const;
  void compare_list(const std::string& field, const std::vector<std::int64_t>& ours,
                    std::vector<std::string>& differences) const;
  void compare_flag(const std::string& field, bool ours, bool fallback,
                    std::vector<std::string>& differences) const;
  /// For what the model has not: a difference where it is true.
  void compare_absent(const std::string& field, std::vector<std::string>& differences) const;

 private:
  const nlohmann::json* find(const std::string& field) const;

  std::unique_ptr<const nlohmann::json> json_;
};

/// Where rotary embedding is described: since version 5 `transformers` has all of it in "rope_parameters", before in
/// "rope_theta" and "rope_scaling".
struct HfRope {
  explicit HfRope(const HfConfig& config);

  std::string theta;    // the field of the base
  std::string scaling;  // the object with the scaling's fields; empty where there is none
  std::string type;     // "default", "llama3", ...
};

}  // namespace titan::protocols
