#pragma once

#include <cstdint>

namespace titan::kernels {

// Products of fp32 matrices on a processor's unit for bf16 tiles (Intel's AMX): every number is the sum of three bf16
// numbers, exactly, and of the nine products of such sums the six that fp32 can hold are added up in fp32. So errors are
// as small as those of a product in fp32, at more than twice the speed of fp32 itself: the unit makes 1,024 multiplications and
// additions while AVX-512 makes 64.

/// A matrix `[lines, inner]`, of which one stride is 1: `at(line, k) = data[line · line_stride + k · inner_stride]`.
struct SplitOperand {
  const float* data = nullptr;
  std::int64_t line_stride = 0;
  std::int64_t inner_stride = 1;
};

/// Lines that are packed, and multiplied, together; how much of the inner dimension is.
constexpr std::int64_t kPanelLines = 32;
constexpr std::int64_t kInnerStep = 32;

/// Bytes of a panel of so many steps: three pieces of two tiles each.
constexpr std::int64_t panel_bytes(std::int64_t steps) { return steps * 3 * 2 * 1024; }

/// Which factor a panel becomes: tiles of the left one hold lines, of the right one pairs of inner places.
enum class Factor { kLeft, kRight };

/// Whether this processor has the unit and the system lets this process use it. Asked once.
bool has_split_product();

/// While it lives, this thread's tile registers are 16 rows of 64 bytes.
class TileRegisters {
 public:
  TileRegisters();
  ~TileRegisters();
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

/// Splits `[lines, inner]` (at most kPanelLines) and packs it into `panel` (64-byte aligned); what is missing is zero.
void pack_panel(Factor factor, const SplitOperand& from, std::int64_t lines, std::int64_t inner,
                std::uint8_t* panel);

/// c `[rows, columns]` (at most kPanelLines each, rows `ldc` apart) = left rightᵀ, or c + that. Sums are taken in the
/// order of the inner dimension. Wants TileRegisters.
void multiply_panels(const std::uint8_t* left, const std::uint8_t* right, std::int64_t steps,
                     std::int64_t rows, std::int64_t columns, float* c, std::int64_t ldc,
                     bool adds);

}  // namespace titan::kernels
