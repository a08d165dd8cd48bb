#include "titan/autograd/recomputation.h"

namespace titan::autograd {

namespace {

thread_local int depth = 0;

}  // namespace

RecomputationScope::RecomputationScope() { ++depth; }

RecomputationScope::~RecomputationScope() { --depth; }

bool is_recomputing() { return depth > 0; }

}  // namespace titan::autograd
