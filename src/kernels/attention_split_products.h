#pragma once

#include "kernels/attention_room.h"
#include "kernels/attention_split_tiles.h"
#include "kernels/bf16_pieces.h"
#include "kernels/tile_unit.h"
#include "kernels/visible_tiles.h"

// What attention in split numbers does forward and backward. Scores are held as [key, query], as in attention_tiles.cpp, and
// so are outputs and the gradient of the queries, as [feature, query], until they are whole.
//
// Of the nine products of two numbers' pieces six are added up. Where the inner dimension is rows, a tile holds one piece of
// 32 rows: that is six products of tiles. Where it is features, which often are 16, a tile holds two pieces of 16 features, and
// three products of tiles are all six: one factor lies as [0|1] and [2|0], the other as [0|0], [1|1] and [0|2].

#ifdef __AMX_BF16__  // else it is only read

namespace titan::kernels {
namespace {

[[maybe_unused]] constexpr float kLn2 = 0.6931471805599453F;
/// Rows of queries or keys that are handled together: of a block's scores.
constexpr int kBlock = 32;

[[maybe_unused]] inline std::int64_t tiles_of(std::int64_t count, std::int64_t size) {
  return (count + size - 1) / size;
}

/// Tells the compiler that what it has stored is read by a tile's load, which its own intrinsic does not.
inline void stores_are_read() { __asm__ volatile("" ::: "memory"); }

/// 2^x to 2e-7 of itself, for any x; of what is no number, none. The closest polynomial of degree 5 on [0, 1].
[[maybe_unused]] inline __m512 power_of_two(__m512 x) {
  const __m512 f = _mm512_reduce_ps(x, 0x09);  // from the integer below
  __m512 p = _mm512_set1_ps(0.0018775766F);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.00898934F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.055826318F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.24015361F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.6931531F));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.99999994F));
  return _mm512_scalef_ps(p, x);
}

/// The same pieces by cutting off, where nothing is known to add up.
[[maybe_unused]] inline Pieces cut(__m512 x) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000));
  const auto rest = [&](__m512 of) {
    return _mm512_sub_ps(of, _mm512_castsi512_ps(_mm512_and_si512(_mm512_castps_si512(of), upper)));
  };
  const __m512 second = rest(x);
  return {{_mm512_castps_si512(x), _mm512_castps_si512(second), _mm512_castps_si512(rest(second))}};
}

/// Words of two numbers in bf16: the upper halves of a, then of b.
[[maybe_unused]] inline __m512i words(__m512i a, __m512i b) {
  return _mm512_ternarylogic_epi32(_mm512_srli_epi32(a, 16), b,
                                   _mm512_set1_epi32(static_cast<int>(0xFFFF0000)),
                                   0xF8);  // a or (b and the mask)
}

/// The words of each piece, tiles apart.
[[maybe_unused]] inline void store_words(const Pieces& a, const Pieces& b, std::uint8_t* to) {
  for (int p = 0; p < kPieces; ++p) {
    _mm512_store_si512(to + p * kTile, words(a.piece[p], b.piece[p]));
  }
}

/// What is packed or written next, of rows that lie far apart: heads of a token lie beside each other, and the processor does not
/// foresee such strides. Into the second cache: such rows share few places of the first.
[[maybe_unused]] inline void prefetch(const float* row) {
  _mm_prefetch(reinterpret_cast<const char*>(row), _MM_HINT_T1);
}

enum class Form { kTwo, kThree };  // tiles for 16 features
enum class Side { kAsLines, kAsPairs };

[[maybe_unused]] constexpr std::int64_t tiles_in(Form form) { return form == Form::kTwo ? 2 : 3; }

/// 16 rows of 16 features: tile (row, feature) from (row · tiles + feature) · tiles_in(form) on. `rows` are filled up with zeros
/// to `whole`.
[[maybe_unused]] inline void pack_by_rows(Rows<float> from, std::int64_t rows, std::int64_t whole,
                                          std::int64_t features, float factor, Form form, Side side,
                                          std::uint8_t* to) {
  static constexpr int kHalves[2][3][2] = {{{0, 1}, {2, 0}, {0, 0}}, {{0, 0}, {1, 1}, {0, 2}}};
  for (std::int64_t first = 0; first < whole; first += kLines) {
    for (std::int64_t d = 0; d < features; d += kLines) {
      for (std::int64_t i = 0; i < kLines; ++i) {
        const bool is_there = first + i < rows;
        const __m512 x =
            _mm512_maskz_loadu_ps(is_there ? first_lanes(features - d) : __mmask16{0},
                                  from.data + (is_there ? first + i : 0) * from.stride + d);
        prefetch(from.data + (first + i + kLines) * from.stride + d);
        const Pieces pieces = split(_mm512_mul_ps(x, _mm512_set1_ps(factor)));
        __m256i halves[kPieces];
        for (int p = 0; p < kPieces; ++p) {
          halves[p] = _mm512_cvtepi32_epi16(_mm512_srli_epi32(pieces.piece[p], 16));
        }
        for (std::int64_t t = 0; t < tiles_in(form); ++t) {
          const int(&of)[2] = kHalves[form == Form::kThree][t];
          auto* const row = reinterpret_cast<__m256i*>(to + t * kTile + i * 64);
          _mm256_store_si256(row, halves[of[0]]);
          _mm256_store_si256(row + 1, halves[of[1]]);
        }
      }
      for (std::int64_t t = 0; t < tiles_in(form); ++t, to += kTile) {
        if (side == Side::kAsPairs) transpose_tile(to);
      }
    }
  }
}

/// 32 rows of 16 features: tiles of the three pieces of (row, feature) from (row · tiles + feature) · 3 on. The inner places
/// are row i and row 16 + i in turn.
[[maybe_unused]] inline void pack_by_features(Rows<float> from, std::int64_t rows,
                                              std::int64_t whole, std::int64_t features, Side side,
                                              std::uint8_t* to) {
  for (std::int64_t first = 0; first < whole; first += kBlock) {
    for (std::int64_t d = 0; d < features; d += kLines) {
      const auto load = [&](std::int64_t row) {
        const bool is_there = row < rows;
        prefetch(from.data + (row + kBlock) * from.stride + d);
        return split(_mm512_maskz_loadu_ps(is_there ? first_lanes(features - d) : __mmask16{0},
                                           from.data + (is_there ? row : 0) * from.stride + d));
      };
      for (std::int64_t i = 0; i < kLines; ++i) {
        const Pieces a = load(first + i);
        const Pieces b = load(first + kLines + i);
        store_words(a, b, to + i * 64);
      }
      for (int p = 0; p < kPieces; ++p, to += kTile) {
        if (side == Side::kAsLines) transpose_tile(to);
      }
    }
  }
}

#define TITAN_LINES(tile)                   \
  _tile_loadd(4, lines + (tile)*kTile, 64); \
  if constexpr (kLines2) _tile_loadd(5, far_lines + (tile)*kTile, 64)
#define TITAN_PAIRS(tile)                   \
  _tile_loadd(6, pairs + (tile)*kTile, 64); \
  if constexpr (kPairs2) _tile_loadd(7, far_pairs + (tile)*kTile, 64)
#define TITAN_PRODUCT()                           \
  _tile_dpbf16ps(0, 4, 6);                        \
  if constexpr (kPairs2) _tile_dpbf16ps(1, 4, 7); \
  if constexpr (kLines2) _tile_dpbf16ps(2, 5, 6); \
  if constexpr (kLines2 && kPairs2) _tile_dpbf16ps(3, 5, 7)

/// scores [32, 32], rows of kBlock = lines times pairs, 16 · tiles features deep, of which the lines lie in form kLinesForm
/// and the pairs in the other.
template <Form kLinesForm>
inline void multiply_features(const std::uint8_t* lines, const std::uint8_t* pairs,
                              std::int64_t tiles, float* scores) {
  constexpr std::int64_t kLineTiles = tiles_in(kLinesForm);
  constexpr std::int64_t kPairTiles = 5 - kLineTiles;
  constexpr bool kLines2 = true;
  constexpr bool kPairs2 = true;
  const std::uint8_t* far_lines = lines + tiles * kLineTiles * kTile;
  const std::uint8_t* far_pairs = pairs + tiles * kPairTiles * kTile;
  stores_are_read();
  _tile_zero(0);
  _tile_zero(1);
  _tile_zero(2);
  _tile_zero(3);
  for (std::int64_t d = 0; d < tiles; ++d) {
    TITAN_LINES(0);
    TITAN_PAIRS(0);
    TITAN_PRODUCT();
    if constexpr (kLinesForm == Form::kTwo) {
      TITAN_PAIRS(1);
    } else {
      TITAN_LINES(1);
    }
    TITAN_PRODUCT();
    TITAN_LINES(kLineTiles - 1);
    TITAN_PAIRS(kPairTiles - 1);
    TITAN_PRODUCT();
    lines += kLineTiles * kTile;
    far_lines += kLineTiles * kTile;
    pairs += kPairTiles * kTile;
    far_pairs += kPairTiles * kTile;
  }
  constexpr std::int64_t kBytes = kBlock * sizeof(float);
  _tile_stored(0, scores, kBytes);
  _tile_stored(1, scores + 16, kBytes);
  _tile_stored(2, scores + 16 * kBlock, kBytes);
  _tile_stored(3, scores + 16 * kBlock + 16, kBytes);
}

/// sums [16 or 32, 16 or 32], rows `stride` apart, += lines times pairs, one or two times three pieces' tiles each, 32 inner rows
/// deep.
template <bool kLines2, bool kPairs2>
inline void add_rows(const std::uint8_t* lines, const std::uint8_t* pairs, float* sums,
                     std::int64_t stride) {
  [[maybe_unused]] const std::uint8_t* const far_lines = lines + kPieces * kTile;
  [[maybe_unused]] const std::uint8_t* const far_pairs = pairs + kPieces * kTile;
  const std::int64_t bytes = stride * static_cast<std::int64_t>(sizeof(float));
  stores_are_read();
  _tile_loadd(0, sums, bytes);
  if constexpr (kPairs2) _tile_loadd(1, sums + 16, bytes);
  if constexpr (kLines2) _tile_loadd(2, sums + 16 * stride, bytes);
  if constexpr (kLines2 && kPairs2) _tile_loadd(3, sums + 16 * stride + 16, bytes);
  TITAN_LINES(0);
  TITAN_PAIRS(2);
  TITAN_PRODUCT();
  TITAN_PAIRS(0);
  TITAN_PRODUCT();
  TITAN_LINES(2);
  TITAN_PRODUCT();
  TITAN_LINES(1);
  TITAN_PRODUCT();
  TITAN_PAIRS(1);
  TITAN_PRODUCT();
  TITAN_LINES(0);
  TITAN_PRODUCT();
  _tile_stored(0, sums, bytes);
  if constexpr (kPairs2) _tile_stored(1, sums + 16, bytes);
  if constexpr (kLines2) _tile_stored(2, sums + 16 * stride, bytes);
  if constexpr (kLines2 && kPairs2) _tile_stored(3, sums + 16 * stride + 16, bytes);
}
#undef TITAN_PRODUCT
#undef TITAN_PAIRS
#undef TITAN_LINES

/// sums [16 · tiles, 32], rows of kBlock, += lines (tiles of features) times pairs (32 columns).
[[maybe_unused]] inline void add_to_features(const std::uint8_t* lines, const std::uint8_t* pairs,
                                             std::int64_t tiles, float* sums) {
  std::int64_t c = 0;
  for (; c + 2 <= tiles; c += 2) {
    add_rows<true, true>(lines + c * kPieces * kTile, pairs, sums + c * kLines * kBlock, kBlock);
  }
  if (c < tiles) {
    add_rows<false, true>(lines + c * kPieces * kTile, pairs, sums + c * kLines * kBlock, kBlock);
  }
}

/// Writes kHidden over the scores of keys that are not there, or that a query does not see.
[[maybe_unused]] inline void hide_block(const Visible& visible, std::int64_t query,
                                        std::int64_t queries, std::int64_t key, std::int64_t keys,
                                        float* scores) {
  hide<kBlock>(visible, query, queries, key, keys, scores);
  for (std::int64_t i = keys * kBlock; i < kBlock * kBlock; ++i) scores[i] = kHidden;
}

/// Rows [rows, features] of columns [features, stride], times factors.
[[maybe_unused]] inline void write_rows(const float* columns, std::int64_t stride,
                                        std::int64_t rows, std::int64_t features,
                                        const float* factors, float* to, std::int64_t to_stride) {
  for (std::int64_t d = 0; d < features; d += kLines) {
    const __mmask16 mask = first_lanes(features - d);
    for (std::int64_t first = 0; first < rows; first += kLines) {
      Words all;
      for (int i = 0; i < kLines; ++i) {
        all.row[i] = _mm512_castps_si512(_mm512_mul_ps(
            _mm512_loadu_ps(columns + (d + i) * stride + first), _mm512_loadu_ps(factors + first)));
      }
      transpose(all);
      for (std::int64_t i = 0; i < smaller(kLines, rows - first); ++i) {
        prefetch(to + (first + i + kBlock) * to_stride + d);
        _mm512_mask_storeu_ps(to + (first + i) * to_stride + d, mask,
                              _mm512_castsi512_ps(all.row[i]));
      }
    }
  }
}

}  // namespace
}  // namespace titan::kernels

#endif
