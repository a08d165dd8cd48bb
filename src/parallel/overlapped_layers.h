#pragma once

#include <cstdint>
#include <vector>

#include "titan/comm/process_group.h"
#include "titan/nn/module.h"

namespace titan::parallel {

// Layers that let linear modules multiply while their input or output is on its way
// (comm/overlapped_products.h). The dimension is a multiple of the number of ranks.

/// `module` is called with a part of dimension `dim`; it and the `linears` below, which take it as it is (or
/// `module` itself), see the whole.
void overlap_gather(nn::Module& module, const std::vector<nn::Module*>& linears, std::int64_t dim,
                    comm::ProcessGroup& group);

/// `linear`, of which each rank has a part of the input features, gives its part of dimension `dim` of the sum.
void overlap_scatter(nn::Module& linear, std::int64_t dim, comm::ProcessGroup& group);

}  // namespace titan::parallel
