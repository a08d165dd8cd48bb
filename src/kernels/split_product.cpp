#include "kernels/split_product.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <cstring>

#include "kernels/bf16_pieces.h"
#include "kernels/tile_unit.h"

// Compiled for AMX and AVX-512; nothing here runs before has_split_product() has said that it may.

namespace titan::kernels {

namespace {

/// Where row i of a tile of piece p begins; `tile` is that of piece 0.
inline std::uint8_t* row_of(std::uint8_t* tile, int p, std::int64_t i) {
  return tile + p * 2 * kTile + i * 64;
}
constexpr std::int64_t kStep = kPieces * 2 * kTile;  // of a panel

/// Row i of each step's tiles: 32 inner places of line i, which lie one behind the other. `lines` are the tile's that there
/// are. Memory is read from its beginning to its end.
inline void pack_lines(const float* from, std::int64_t stride, std::int64_t lines,
                       std::int64_t inner, std::uint8_t* tile) {
  alignas(64) static constexpr std::uint16_t kUpperHalves[32] = {
      1,  3,  5,  7,  9,  11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31,
      33, 35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63};
  const __m512i order = _mm512_load_si512(kUpperHalves);
  for (std::int64_t i = 0; i < kLines; ++i) {
    const bool is_there = i < lines;
    const float* line = from + (is_there ? i : 0) * stride;
    std::uint8_t* step = tile;
    for (std::int64_t k = 0; k < inner; k += kDepth, step += kStep) {
      const __mmask16 near = is_there ? first_lanes(inner - k) : __mmask16{0};
      const __mmask16 far = is_there ? first_lanes(inner - k - 16) : __mmask16{0};
      const Pieces a = split(_mm512_maskz_loadu_ps(near, line + k));
      const Pieces b = split(_mm512_maskz_loadu_ps(far, line + k + 16));
      for (int p = 0; p < kPieces; ++p) {
        _mm512_store_si512(row_of(step, p, i),
                           _mm512_permutex2var_epi16(a.piece[p], order, b.piece[p]));
      }
    }
  }
}

/// Row i of each step's tiles: inner places 2 i and 2 i + 1 of 16 lines, each place's lines lying one behind the other.
inline void pack_pairs(const float* from, std::int64_t stride, std::int64_t lines,
                       std::int64_t inner, std::uint8_t* tile) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
  const __mmask16 some = first_lanes(lines);
  const auto load = [&](std::int64_t k) {
    const bool is_there = k < inner;
    const float* const place = from + (is_there ? k : 0) * stride;
    // A step ahead: the processor does not foresee such strides.
    _mm_prefetch(reinterpret_cast<const char*>(place + kDepth * stride), _MM_HINT_T0);
    return split(_mm512_maskz_loadu_ps(is_there ? some : __mmask16{0}, place));
  };
  for (std::int64_t k = 0; k < inner; k += kDepth, tile += kStep) {
    for (std::int64_t i = 0; i < kLines; ++i) {
      const Pieces a = load(k + 2 * i);
      const Pieces b = load(k + 2 * i + 1);
      for (int p = 0; p < kPieces; ++p) {
        _mm512_store_si512(row_of(tile, p, i),
                           _mm512_or_si512(_mm512_srli_epi32(a.piece[p], 16),
                                           _mm512_and_si512(b.piece[p], upper)));
      }
    }
  }
}

struct TileConfiguration {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes_of_row[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
static_assert(sizeof(TileConfiguration) == 64);

bool ask_for_tiles() {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx512f") == 0 || __builtin_cpu_supports("avx512bw") == 0 ||
      __builtin_cpu_supports("avx512vl") == 0 || __builtin_cpu_supports("avx512dq") == 0 ||
      __builtin_cpu_supports("avx512bf16") == 0) {
    return false;
  }
  unsigned eax = 7;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  __asm__("cpuid" : "+a"(eax), "=b"(ebx), "+c"(ecx), "=d"(edx));
  constexpr unsigned kBf16Tiles = 1U << 22;
  constexpr unsigned kTiles = 1U << 24;
  if ((edx & kBf16Tiles) == 0 || (edx & kTiles) == 0) return false;
  constexpr long kRequestPermission = 0x1023;  // ARCH_REQ_XCOMP_PERM
  constexpr long kTileData = 18;
  return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

}  // namespace

bool has_split_product() {
  static const bool has = ask_for_tiles();
  return has;
}

TileRegisters::TileRegisters() {
  // In memory for good: the intrinsic does not tell the compiler that all of it is read.
  static constexpr TileConfiguration configuration;
  _tile_loadconfig(&configuration);
}
TileRegisters::~TileRegisters() { _tile_release(); }

void pack_panel(Factor factor, const SplitOperand& from, std::int64_t lines, std::int64_t inner,
                std::uint8_t* panel) {
  const bool by_lines = from.inner_stride == 1;
  const bool turns = by_lines != (factor == Factor::kLeft);
  for (int half = 0; half < 2; ++half) {
    const std::int64_t some_lines = lines - half * kLines;
    const float* const start = from.data + (some_lines > 0 ? half * kLines * from.line_stride : 0);
    std::uint8_t* const tile = panel + half * kTile;
    if (by_lines) {
      pack_lines(start, from.line_stride, some_lines, inner, tile);
    } else {
      pack_pairs(start, from.inner_stride, some_lines, inner, tile);
    }
  }
  for (std::int64_t tile = 0; turns && tile * kTile < (inner + kDepth - 1) / kDepth * kStep;
       ++tile) {
    transpose_tile(panel + tile * kTile);
  }
}

namespace {

void multiply_whole_panels(const std::uint8_t* left, const std::uint8_t* right, std::int64_t steps,
                           float* c, std::int64_t ldc, bool adds) {
  const std::int64_t stride = ldc * static_cast<std::int64_t>(sizeof(float));
  if (adds) {
    _tile_loadd(0, c, stride);
    _tile_loadd(1, c + 16, stride);
    _tile_loadd(2, c + 16 * ldc, stride);
    _tile_loadd(3, c + 16 * ldc + 16, stride);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
#define TITAN_LEFT(piece)                       \
  _tile_loadd(4, left + (piece)*2 * kTile, 64); \
  _tile_loadd(5, left + (piece)*2 * kTile + kTile, 64)
#define TITAN_RIGHT(piece)                       \
  _tile_loadd(6, right + (piece)*2 * kTile, 64); \
  _tile_loadd(7, right + (piece)*2 * kTile + kTile, 64)
#define TITAN_PRODUCT()    \
  _tile_dpbf16ps(0, 4, 6); \
  _tile_dpbf16ps(1, 4, 7); \
  _tile_dpbf16ps(2, 5, 6); \
  _tile_dpbf16ps(3, 5, 7)
  for (std::int64_t step = 0; step < steps; ++step) {
    TITAN_LEFT(0);
    TITAN_RIGHT(2);
    TITAN_PRODUCT();
    TITAN_RIGHT(1);
    TITAN_PRODUCT();
    TITAN_RIGHT(0);
    TITAN_PRODUCT();
    TITAN_LEFT(1);
    TITAN_PRODUCT();
    TITAN_RIGHT(1);
    TITAN_PRODUCT();
    TITAN_LEFT(2);
    TITAN_RIGHT(0);
    TITAN_PRODUCT();
    left += kStep;
    right += kStep;
  }
#undef TITAN_PRODUCT
#undef TITAN_RIGHT
#undef TITAN_LEFT
  _tile_stored(0, c, stride);
  _tile_stored(1, c + 16, stride);
  _tile_stored(2, c + 16 * ldc, stride);
  _tile_stored(3, c + 16 * ldc + 16, stride);
}

}  // namespace

void multiply_panels(const std::uint8_t* left, const std::uint8_t* right, std::int64_t steps,
                     std::int64_t rows, std::int64_t columns, float* c, std::int64_t ldc,
                     bool adds) {
  if (rows == kPanelLines && columns == kPanelLines) {
    multiply_whole_panels(left, right, steps, c, ldc, adds);
    return;
  }
  alignas(64) float whole[kPanelLines * kPanelLines];
  const auto bytes = static_cast<std::size_t>(columns) * sizeof(float);
  if (adds) std::memset(whole, 0, sizeof(whole));
  for (std::int64_t i = 0; adds && i < rows; ++i) {
    std::memcpy(whole + i * kPanelLines, c + i * ldc, bytes);
  }
  multiply_whole_panels(left, right, steps, whole, kPanelLines, adds);
  for (std::int64_t i = 0; i < rows; ++i) {
    std::memcpy(c + i * ldc, whole + i * kPanelLines, bytes);
  }
}

}  // namespace titan::kernels
