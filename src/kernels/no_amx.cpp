#include "kernels/attention_bf16_tiles.h"
#include "kernels/split_product.h"
#include "titan/base/errors.h"

// For processors that are not of the x86 family: nothing here is called, because has_split_product() says so.

namespace titan::kernels {

bool has_split_product() { return false; }

TileRegisters::TileRegisters() { TITAN_CHECK(false, "this processor has no tile registers"); }
TileRegisters::~TileRegisters() = default;

void pack_panel(Factor, const SplitOperand&, std::int64_t, std::int64_t, Panel&) {}
void multiply_panels(const Panel&, const Panel&, std::int64_t, std::int64_t, std::int64_t, float*,
                     std::int64_t, bool) {}

void pack_keys(const Bf16Shape&, Bf16Rows, Bf16Rows, std::uint8_t*) {}
std::int64_t forward_bf16_bytes(const Bf16Shape&) { return 0; }
void forward_bf16(const Bf16Shape&, Bf16Rows, const std::uint8_t*, std::int64_t, std::uint16_t*,
                  std::int64_t, float*, std::uint8_t*) {}
std::int64_t backward_bf16_bytes(const Bf16Shape&, std::int64_t) { return 0; }
void backward_bf16(const Bf16Shape&, Bf16Rows, Bf16Rows, const Bf16QueryHead*, std::int64_t,
                   std::uint16_t*, std::uint16_t*, std::uint8_t*) {}

}  // namespace titan::kernels
