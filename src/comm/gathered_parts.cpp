#include "titan/comm/gathered_parts.h"

namespace titan::comm {

GatheredParts::GatheredParts(ProcessGroup& group, std::int64_t elements,
                             const at::TensorOptions& options, const MakeRoom& make_room)
    : group_(&group) {
  const bool is_shared = group.shares_memory();
  if (!is_shared) room_ = make_room(group.size() * elements);
  for (std::int64_t rank = 0; rank < group.size(); ++rank) {
    if (!is_shared) {
      of_rank_.push_back(room_.narrow(0, rank * elements, elements));
    } else if (rank == group.rank()) {
      of_rank_.push_back(group.outgoing(elements, options));
    } else {
      of_rank_.push_back(group.incoming(elements, options));
    }
  }
}

Work GatheredParts::start() {
  return room_.defined() ? group_->all_gather(room_, own())
                         : group_->all_gather_parts(of_rank_, own());
}

}  // namespace titan::comm
