#pragma once

#include <cstdint>

namespace titan::kernels {

// Products of fp32 matrices on a processor's unit for tiles of 8-bit integers (Intel's AMX), after the scheme of Ozaki (Ootomo, Ozaki
// and Yokota 2024, "DGEMM on integer matrix multiplication unit"). A line is what a sum runs along: a row of the left
// factor, a column of the right one. Of each line, kInnerBlock numbers at a time are scaled so that the
// largest of them fills 24 bits, rounded to integers, and each of those is three digits of 8 bits, base 256, from -128 to 127. Of
// the nine products of digits the six largest are added up, exactly, in integers of 32 bits; fp32 comes back when the sums of
// kInnerBlock places are put together. So no order of work changes a bit within a block.
//
// With a and b the largest numbers of the two lines' parts, n places and U = 2^-24, a block's sum errs by at most
//   1.6 U (a · sum of |right| + b · sum of |left|)   from rounding to integers, and
//   2.1 U n a b                                      from the products that are left out,
// and of random numbers by some U a b sqrt(n): as much as a sum in fp32 where a line's numbers are of like size, and more
// for those of its terms that are small beside the line's largest. What is 2^23 times smaller than that is lost.

/// A matrix `[lines, inner]`, of which one stride is 1: `at(line, k) = data[line · line_stride + k · inner_stride]`.
struct SplitOperand {
  const float* data = nullptr;
  std::int64_t line_stride = 0;
  std::int64_t inner_stride = 1;
};

/// Lines that are packed, and multiplied, together; how much of the inner dimension is, at most.
constexpr std::int64_t kPanelLines = 32;
constexpr std::int64_t kInnerBlock = 256;

/// What is packed of a factor, on a cache line's boundary.
struct Panel {
  static constexpr std::int64_t kStep = 64;  // inner places of a tile
  static constexpr std::int64_t kBytesOfStep = 6144;

  /// Of each line: what its integers are to be multiplied by, and by two to which power.
  alignas(64) float factors[kPanelLines];
  float exponents[kPanelLines];
  /// A bit for each line in which not all is finite; such lines are packed as zeros.
  alignas(64) std::uint32_t broken;
  /// Of each step the three digits, largest first, of each two tiles.
  alignas(64) std::uint8_t tiles[kInnerBlock / kStep * kBytesOfStep];
};

/// Which factor a panel becomes: tiles of the left one hold lines, of the right one groups of four inner places.
enum class Factor { kLeft, kRight };

/// Whether this processor has the unit (and that for bf16) and the system lets this process use it. Asked once.
bool has_split_product();

/// While it lives, this thread's tile registers are 16 rows of 64 bytes.
class TileRegisters {
 public:
  TileRegisters();
  ~TileRegisters();
  TileRegisters(const TileRegisters&) = delete;
  TileRegisters& operator=(const TileRegisters&) = delete;
};

/// Splits `[lines, inner]`, at most kPanelLines and kInnerBlock, into `panel`; what is missing is zero.
void pack_panel(Factor factor, const SplitOperand& from, std::int64_t lines, std::int64_t inner,
                Panel& panel);

/// c `[rows, columns]` (at most kPanelLines each, rows `ldc` apart) = left rightᵀ, or c + that, for `inner` places.
/// Wants TileRegisters.
void multiply_panels(const Panel& left, const Panel& right, std::int64_t inner, std::int64_t rows,
                     std::int64_t columns, float* c, std::int64_t ldc, bool adds);

}  // namespace titan::kernels
