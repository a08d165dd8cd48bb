#include "titan/parallel/full_tensor.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>
#include <c10/core/GradMode.h>

#include "titan/base/errors.h"
#include "titan/parallel/shard.h"

namespace titan::parallel {

at::Tensor full_tensor(const at::Tensor& local, const std::optional<nn::TensorBox>& box,
                       comm::ProcessGroup* shard) {
  if (!box) return local.detach();
  TITAN_CHECK(shard != nullptr, "a sharded tensor without the group it is sharded over");
  const c10::NoGradGuard no_grad;
  std::vector<std::int64_t> sizes = box->full_sizes;
  const std::int64_t rows = sizes[0];
  sizes[0] = chunk_length(rows, shard->size());
  const at::Tensor mine = at::zeros(sizes, local.options().requires_grad(false));
  mine.narrow(0, 0, local.size(0)).copy_(local.detach());
  sizes[0] *= shard->size();
  const at::Tensor all = at::empty(sizes, mine.options());
  shard->all_gather(all, mine).wait();
  return all.narrow(0, 0, rows);  // all ranks but the last have whole chunks
}

}  // namespace titan::parallel
