#include "kernels/attention_bf16_tiles.h"
#include "kernels/attention_split_tiles.h"
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

void pack_keys(const HeadShape&, Rows<std::uint16_t>, Rows<std::uint16_t>, std::uint8_t*) {}
std::int64_t forward_bf16_bytes(const HeadShape&) { return 0; }
void forward_bf16(const HeadShape&, Rows<std::uint16_t>, const std::uint8_t*, std::int64_t,
                  std::uint16_t*, std::int64_t, float*, std::uint8_t*) {}
std::int64_t backward_bf16_bytes(const HeadShape&, std::int64_t) { return 0; }
void backward_bf16(const HeadShape&, Rows<std::uint16_t>, Rows<std::uint16_t>,
                   const QueryHead<std::uint16_t>*, std::int64_t, ResultRows<std::uint16_t>,
                   ResultRows<std::uint16_t>, std::uint8_t*) {}

std::int64_t split_keys_bytes(const HeadShape&) { return 0; }
void split_keys(const HeadShape&, Rows<float>, Rows<float>, std::uint8_t*) {}
std::int64_t forward_split_bytes(const HeadShape&) { return 0; }
void forward_split(const HeadShape&, Rows<float>, const std::uint8_t*, std::int64_t, float*,
                   std::int64_t, float*, std::uint8_t*) {}
std::int64_t backward_split_bytes(const HeadShape&, std::int64_t) { return 0; }
void backward_split(const HeadShape&, Rows<float>, Rows<float>, const QueryHead<float>*,
                    std::int64_t, ResultRows<float>, ResultRows<float>, std::uint8_t*) {}

}  // namespace titan::kernels
