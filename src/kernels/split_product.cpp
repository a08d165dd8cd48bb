#include "kernels/split_product.h"

#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>

#include "kernels/tile_unit.h"

// Compiled for AMX and AVX-512; nothing here runs before has_split_product() has said that it may.

namespace titan::kernels {

namespace {

constexpr int kDigits = 3;
constexpr std::int64_t kPair = 2 * kTile;  // the tiles of one digit of a step
static_assert(kDigits * kPair == Panel::kBytesOfStep);
/// Four numbers of each of 16 lines, or of 16 places, are worked on together: every 16th of a step.
constexpr std::int64_t kApart = 16;

/// What the largest of a line becomes: of 0x7F7F7F, which three digits end at, what rounding of the factor leaves.
constexpr float kMost = 8355700;
constexpr float kTopBit = 22;

/// Bits of |x|, which are in order; infinities come after all numbers.
inline __m512i size_bits(__m512i x) { return _mm512_and_si512(x, _mm512_set1_epi32(0x7FFFFFFF)); }

/// How numbers of 16 lines become integers: times `factor`, and times two to the power of `exponent`.
struct Scale {
  __m512 factor;
  __m512 exponent;
  __mmask16 broken;
};

inline Scale scale_of(__m512i largest_bits) {
  const __m512 largest = _mm512_castsi512_ps(largest_bits);
  const __m512 least = _mm512_set1_ps(-149);  // for zeros
  const __m512 exponent = _mm512_min_ps(_mm512_max_ps(_mm512_getexp_ps(largest), least),
                                        _mm512_set1_ps(127));  // of infinities
  const __m512 part = _mm512_getmant_ps(largest, _MM_MANT_NORM_1_2, _MM_MANT_SIGN_src);
  const __mmask16 broken = _mm512_cmpge_epu32_mask(largest_bits, _mm512_set1_epi32(0x7F800000));
  const __m512 one = _mm512_set1_ps(1);
  return {_mm512_div_ps(_mm512_set1_ps(kMost / (1 << 22)), _mm512_mask_mov_ps(part, broken, one)),
          _mm512_sub_ps(_mm512_set1_ps(kTopBit), exponent), broken};
}

/// Integers, and half of a digit's range in each digit's place: so the lower digits' signs borrow from the higher ones.
inline __m512i integers(__m512 x, const Scale& scale) {
  // In this order numbers below the normal ones keep their digits.
  const __m512 scaled = _mm512_mul_ps(_mm512_scalef_ps(x, scale.exponent), scale.factor);
  return _mm512_add_epi32(_mm512_cvtps_epi32(scaled), _mm512_set1_epi32(0x00808080));
}

/// Stores the digits of integers(): lane i of `row` has those of lane i of the four, one behind the other.
inline void store_digits(__m512i a, __m512i b, __m512i c, __m512i d, std::uint8_t* row) {
  const auto choose = [](std::uint32_t bits, __m512i ones, __m512i zeros) {
    return _mm512_ternarylogic_epi32(_mm512_set1_epi32(static_cast<int>(bits)), ones, zeros, 0xCA);
  };
  constexpr std::uint32_t kEven = 0x00FF00FF;
  constexpr std::uint32_t kLow = 0x0000FFFF;
  const __m512i even_ab = choose(kEven, a, _mm512_slli_epi32(b, 8));
  const __m512i odd_ab = choose(kEven, _mm512_srli_epi32(a, 8), b);
  const __m512i even_cd = choose(kEven, c, _mm512_slli_epi32(d, 8));
  const __m512i odd_cd = choose(kEven, _mm512_srli_epi32(c, 8), d);
  const __m512i digits[kDigits] = {choose(kLow, _mm512_srli_epi32(even_ab, 16), even_cd),
                                   choose(kLow, odd_ab, _mm512_slli_epi32(odd_cd, 16)),
                                   choose(kLow, even_ab, _mm512_slli_epi32(even_cd, 16))};
  const __m512i half = _mm512_set1_epi32(static_cast<int>(0x80808080));
  for (int i = 0; i < kDigits; ++i) {
    _mm512_store_si512(row + i * kPair, _mm512_xor_si512(digits[i], half));
  }
}

/// Where the scales of a tile's lines go.
struct Scales {
  float* factors;
  float* exponents;
  std::uint32_t broken = 0;

  void put(const Scale& scale, std::int64_t line, __mmask16 lines) {
    // The sums of multiply_panels() are short of 2^16.
    const __m512 exponents_back = _mm512_sub_ps(_mm512_set1_ps(8), scale.exponent);
    _mm512_mask_storeu_ps(factors + line, lines, _mm512_div_ps(_mm512_set1_ps(1), scale.factor));
    _mm512_mask_storeu_ps(exponents + line, lines, exponents_back);
    broken |= static_cast<std::uint32_t>(scale.broken & lines) << line;
  }
};

/// Row i of each step's tiles: the places of line i, which lie one behind the other. `lines` are the tile's that there are.
inline void pack_lines(const float* from, std::int64_t stride, std::int64_t lines,
                       std::int64_t inner, std::uint8_t* tile, Scales& scales) {
  for (std::int64_t i = 0; i < kLines; ++i) {
    bool is_there = i < lines;
    const float* const line = from + (is_there ? i : 0) * stride;
    const auto load = [&](std::int64_t k) {
      return _mm512_maskz_loadu_ps(is_there ? first_lanes(inner - k) : __mmask16{0}, line + k);
    };
    __m512i largest = _mm512_setzero_si512();
    __m512i other = _mm512_setzero_si512();
    for (std::int64_t k = 0; k < inner; k += 2 * kApart) {
      largest = _mm512_max_epu32(largest, size_bits(_mm512_castps_si512(load(k))));
      other = _mm512_max_epu32(other, size_bits(_mm512_castps_si512(load(k + kApart))));
    }
    const std::uint32_t most = _mm512_reduce_max_epu32(_mm512_max_epu32(largest, other));
    const Scale scale = scale_of(_mm512_set1_epi32(static_cast<int>(most)));
    scales.put(scale, i, 1);
    is_there = is_there && scale.broken == 0;
    std::uint8_t* step = tile + i * 64;
    for (std::int64_t k = 0; k < inner; k += Panel::kStep, step += Panel::kBytesOfStep) {
      store_digits(integers(load(k), scale), integers(load(k + kApart), scale),
                   integers(load(k + 2 * kApart), scale), integers(load(k + 3 * kApart), scale),
                   step);
    }
  }
}

/// Row i of each step's tiles: four places of 16 lines, each place's lines lying one behind the other.
inline void pack_places(const float* from, std::int64_t stride, std::int64_t lines,
                        std::int64_t inner, std::uint8_t* tile, Scales& scales) {
  __mmask16 some = first_lanes(lines);
  const auto load = [&](std::int64_t k) {
    const bool is_there = k < inner;
    return _mm512_maskz_loadu_ps(is_there ? some : __mmask16{0},
                                 from + (is_there ? k : 0) * stride);
  };
  __m512i largest = _mm512_setzero_si512();
  for (std::int64_t k = 0; k < inner; ++k) {
    // The processor does not foresee such strides.
    _mm_prefetch(reinterpret_cast<const char*>(from + (k + kApart) * stride), _MM_HINT_T0);
    largest = _mm512_max_epu32(largest, size_bits(_mm512_castps_si512(load(k))));
  }
  const Scale scale = scale_of(largest);
  some = static_cast<__mmask16>(some & ~scale.broken);
  scales.put(scale, 0, 0xFFFF);
  for (std::int64_t k = 0; k < inner; k += Panel::kStep, tile += Panel::kBytesOfStep) {
    for (std::int64_t i = 0; i < kApart; ++i) {
      store_digits(integers(load(k + i), scale), integers(load(k + i + kApart), scale),
                   integers(load(k + i + 2 * kApart), scale),
                   integers(load(k + i + 3 * kApart), scale), tile + i * 64);
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
  constexpr unsigned kInt8Tiles = 1U << 25;
  constexpr unsigned kAll = kBf16Tiles | kTiles | kInt8Tiles;
  if ((edx & kAll) != kAll) return false;
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
                Panel& panel) {
  const bool by_lines = from.inner_stride == 1;
  const bool turns = by_lines != (factor == Factor::kLeft);
  panel.broken = 0;
  for (int half = 0; half < 2; ++half) {
    const std::int64_t some_lines = lines - half * kLines;
    const float* const start = from.data + (some_lines > 0 ? half * kLines * from.line_stride : 0);
    std::uint8_t* const tile = panel.tiles + half * kTile;
    Scales scales = {panel.factors + half * kLines, panel.exponents + half * kLines};
    if (by_lines) {
      pack_lines(start, from.line_stride, some_lines, inner, tile, scales);
    } else {
      pack_places(start, from.inner_stride, some_lines, inner, tile, scales);
    }
    panel.broken |= scales.broken << (half * kLines);
  }
  const std::int64_t bytes = (inner + Panel::kStep - 1) / Panel::kStep * Panel::kBytesOfStep;
  for (std::int64_t tile = 0; turns && tile < bytes; tile += kTile) {
    transpose_tile(panel.tiles + tile);
  }
}

namespace {

/// Sums of the products of digits whose places are two, three and four together, [kPanelLines, kPanelLines] each.
struct Sums {
  alignas(64) std::int32_t of[kDigits][kPanelLines * kPanelLines];
};

/// Adds to tiles 0 to 3 the product of one digit of the left factor and one of the right.
#define TITAN_DIGITS(left_digit, right_digit)          \
  _tile_loadd(4, l + (left_digit)*kPair, 64);          \
  _tile_loadd(5, l + (left_digit)*kPair + kTile, 64);  \
  _tile_loadd(6, r + (right_digit)*kPair, 64);         \
  _tile_loadd(7, r + (right_digit)*kPair + kTile, 64); \
  _tile_dpbssd(0, 4, 6);                               \
  _tile_dpbssd(1, 4, 7);                               \
  _tile_dpbssd(2, 5, 6);                               \
  _tile_dpbssd(3, 5, 7)

/// One pass over both panels for products whose digits' places make the same sum: so four tiles of sums suffice.
template <class Products>
inline void sum_products(const Panel& left, const Panel& right, std::int64_t steps,
                         std::int32_t* to, const Products& products) {
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t at = 0; at < steps * Panel::kBytesOfStep; at += Panel::kBytesOfStep) {
    products(left.tiles + at, right.tiles + at);
  }
  constexpr std::int64_t kStride = kPanelLines * static_cast<std::int64_t>(sizeof(std::int32_t));
  _tile_stored(0, to, kStride);
  _tile_stored(1, to + kLines, kStride);
  _tile_stored(2, to + kLines * kPanelLines, kStride);
  _tile_stored(3, to + kLines * kPanelLines + kLines, kStride);
}

inline void sum_all(const Panel& left, const Panel& right, std::int64_t steps, Sums& sums) {
  sum_products(left, right, steps, sums.of[2], [](const std::uint8_t* l, const std::uint8_t* r) {
    TITAN_DIGITS(0, 2);
    TITAN_DIGITS(1, 1);
    TITAN_DIGITS(2, 0);
  });
  sum_products(left, right, steps, sums.of[1], [](const std::uint8_t* l, const std::uint8_t* r) {
    TITAN_DIGITS(0, 1);
    TITAN_DIGITS(1, 0);
  });
  sum_products(left, right, steps, sums.of[0],
               [](const std::uint8_t* l, const std::uint8_t* r) { TITAN_DIGITS(0, 0); });
}
#undef TITAN_DIGITS

}  // namespace

void multiply_panels(const Panel& left, const Panel& right, std::int64_t inner, std::int64_t rows,
                     std::int64_t columns, float* c, std::int64_t ldc, bool adds) {
  Sums sums;
  sum_all(left, right, (inner + Panel::kStep - 1) / Panel::kStep, sums);
  // The second sum's 2^8 fold and the third together stay within 32 bits.
  static_assert((2LL * 127 * 128 * 256 + 3LL * 128 * 128) * kInnerBlock < (1LL << 31));
  const __m512 first_place = _mm512_set1_ps(0x1p16F);
  for (int half = 0; half < 2; ++half) {
    const __mmask16 some = first_lanes(columns - half * kLines);
    const __m512 factors = _mm512_load_ps(right.factors + half * kLines);
    const __m512 exponents = _mm512_load_ps(right.exponents + half * kLines);
    for (std::int64_t i = 0; i < rows; ++i) {
      const auto sum = [&](int which) {
        return _mm512_load_si512(sums.of[which] + i * kPanelLines + half * kLines);
      };
      const __m512 rest =
          _mm512_cvtepi32_ps(_mm512_add_epi32(_mm512_slli_epi32(sum(1), 8), sum(2)));
      const __m512 whole = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum(0)), first_place, rest);
      const __m512 factor = _mm512_mul_ps(_mm512_set1_ps(left.factors[i]), factors);
      __m512 y = _mm512_scalef_ps(_mm512_mul_ps(whole, factor),
                                  _mm512_add_ps(_mm512_set1_ps(left.exponents[i]), exponents));
      float* const to = c + i * ldc + half * kLines;
      if (adds) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(some, to));
      _mm512_mask_storeu_ps(to, some, y);
    }
  }
}

}  // namespace titan::kernels
