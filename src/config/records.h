#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>

#include "titan/config/mixture_part.h"
#include "titan/config/param_group.h"

namespace titan::config {

/// One key of the tables in an array of tables. Numbers are finite and not negative.
template <class Record>
struct RecordField {
  std::string_view name;
  std::variant<std::string Record::*, double Record::*, std::optional<double> Record::*> member;
  bool required = false;
  /// What is wrong with a text; empty when nothing is.
  std::string (*complaint_about)(const std::string&) = nullptr;
  bool is_path = false;  ///< as that of an `Option`
};

/// The keys of a `[[optimizer.param_groups]]` table.
std::span<const RecordField<ParamGroup>> fields_of(const ParamGroup&);
/// The keys of a `[[data.mixture]]` table.
std::span<const RecordField<MixturePart>> fields_of(const MixturePart&);

}  // namespace titan::config
