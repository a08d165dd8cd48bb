#include "kernels/attention_tiles.h"

#include "kernels/tile_product.h"
#include "kernels/visible_tiles.h"

// Scores are held as [key, query]: what softmax asks of a query - its largest score, its sum - then goes down the
// lanes, and no lane asks another.

namespace titan::kernels::TITAN_ISA {
namespace {

constexpr int kVectors = kQueryTile / kLanes;
constexpr float kLog2e = 1.4426950408889634F;
constexpr float kLn2 = 0.6931471805599453F;
/// Rows [queries, dim] as columns [dim, kQueryTile], times a factor; zeros for queries that are not there.
void columns_of(const float* rows, std::int64_t queries, int dim, float factor, float* columns) {
  for (std::int64_t d = 0; d < dim; d += kLanes) {
    for (std::int64_t i = 0; i < kQueryTile; ++i) {
      for (std::int64_t e = d; e < d + kLanes; ++e) {
        columns[e * kQueryTile + i] = i < queries ? factor * rows[i * dim + e] : 0.0F;
      }
    }
  }
}

/// Largest scores and sums of exponentials of a tile's queries so far.
struct Softmax {
  Floats largest[kVectors];
  Floats sum[kVectors];

  /// Makes of scores [keys, kQueryTile] exponentials below the largest; says what earlier ones are to be
  /// multiplied by.
  void take(std::int64_t keys, float* scores, bool some_hidden, float* factors) {
    Floats most[kVectors];
    for (int n = 0; n < kVectors; ++n) most[n] = largest[n];
    // All vectors of a key before the next: none waits for its own last comparison.
    for (std::int64_t j = 0; j < keys; ++j) {
#pragma GCC unroll 16
      for (int n = 0; n < kVectors; ++n) {
        most[n] = larger(most[n], load(scores + j * kQueryTile + n * kLanes));
      }
    }
    for (int n = 0; n < kVectors; ++n) {
      const Floats factor = exp2_of_small(largest[n] - most[n]);
      Floats total = sum[n] * factor;
      for (std::int64_t j = 0; j < keys; ++j) {
        float* place = scores + j * kQueryTile + n * kLanes;
        const Floats score = load(place);
        Floats power = exp2_of_small(score - most[n]);
        if (some_hidden) power = score < 0.5F * kHidden ? Floats{} : power;
        total += power;
        store(place, power);
      }
      largest[n] = most[n];
      sum[n] = total;
      store(factors + n * kLanes, factor);
    }
  }
};

void forward(const AttentionHead& head, std::int64_t first, float* out, std::int64_t out_stride,
             float* lse, float* scratch) {
  const int dim = head.dim;
  const int value_dim = head.value_dim;
  const std::int64_t queries = smaller(kQueryTile, head.queries - first);
  float* const columns = scratch;
  float* const sums = columns + kQueryTile * dim;
  float* const scores = sums + kQueryTile * value_dim;
  columns_of(head.q + first * dim, queries, dim, head.scale * kLog2e, columns);
  Softmax softmax;
  for (int n = 0; n < kVectors; ++n) {
    softmax.largest[n] = all(kHidden);
    softmax.sum[n] = Floats{};
  }
  bool is_first = true;
  for (std::int64_t key = 0; key < head.keys; key += kKeyTile) {
    const std::int64_t keys = smaller(kKeyTile, head.keys - key);
    const Sight sight = sight_of(head.visible, first, queries, key, keys);
    if (sight == Sight::kNothing) continue;
    multiply<Left::kRows>(static_cast<int>(keys), kQueryTile, dim, head.k + key * dim, dim, columns,
                          kQueryTile, scores, kQueryTile, /*adds=*/false);
    if (sight == Sight::kSome) hide(head.visible, first, queries, key, keys, scores);
    float factors[kQueryTile];
    softmax.take(keys, scores, sight == Sight::kSome, factors);
    for (std::int64_t i = 0; i < queries && !is_first; ++i) {
      if (factors[i] == 1.0F) continue;
      for (int d = 0; d < value_dim; d += kLanes) {
        float* place = sums + i * value_dim + d;
        store(place, load(place) * factors[i]);
      }
    }
    multiply<Left::kColumns>(kQueryTile, value_dim, static_cast<int>(keys), scores, kQueryTile,
                             head.v + key * value_dim, value_dim, sums, value_dim,
                             /*adds=*/!is_first);
    is_first = false;
  }
  float totals[kQueryTile];
  float largest[kQueryTile];
  for (int n = 0; n < kVectors; ++n) {
    store(totals + n * kLanes, softmax.sum[n]);
    store(largest + n * kLanes, softmax.largest[n]);
  }
  for (std::int64_t i = 0; i < queries; ++i) {
    const bool sees = totals[i] != 0;  // what is no number is shown
    const float factor = sees ? 1.0F / totals[i] : 0.0F;
    for (int d = 0; d < value_dim; d += kLanes) {
      store(out + (first + i) * out_stride + d,
            sees ? load(sums + i * value_dim + d) * factor : Floats{});
    }
    lse[first + i] = sees ? (largest[i] + __builtin_log2f(totals[i])) * kLn2 : -__builtin_inff();
  }
}

void backward(const AttentionHead& head, const AttentionHeadGradient& g, float* scratch) {
  const int dim = head.dim;
  const int value_dim = head.value_dim;
  const std::int64_t tiles = (head.queries + kQueryTile - 1) / kQueryTile;
  float* const q_columns = scratch;
  float* const g_columns = q_columns + tiles * kQueryTile * dim;
  float* const weights = g_columns + tiles * kQueryTile * value_dim;
  float* const slopes = weights + kQueryTile * kKeyTile;
  for (std::int64_t tile = 0; tile < tiles; ++tile) {
    const std::int64_t first = tile * kQueryTile;
    const std::int64_t queries = smaller(kQueryTile, head.queries - first);
    columns_of(head.q + first * dim, queries, dim, head.scale * kLog2e, q_columns + first * dim);
    columns_of(g.gradient + first * value_dim, queries, value_dim, 1.0F,
               g_columns + first * value_dim);
  }
  for (std::int64_t key = 0; key < head.keys; key += kKeyTile) {
    const int keys = static_cast<int>(smaller(kKeyTile, head.keys - key));
    for (std::int64_t first = 0; first < head.queries; first += kQueryTile) {
      const int queries = static_cast<int>(smaller(kQueryTile, head.queries - first));
      const Sight sight = sight_of(head.visible, first, queries, key, keys);
      if (sight == Sight::kNothing) continue;
      multiply<Left::kRows>(keys, kQueryTile, dim, head.k + key * dim, dim, q_columns + first * dim,
                            kQueryTile, weights, kQueryTile, /*adds=*/false);
      multiply<Left::kRows>(keys, kQueryTile, value_dim, head.v + key * value_dim, value_dim,
                            g_columns + first * value_dim, kQueryTile, slopes, kQueryTile,
                            /*adds=*/false);
      const bool some_hidden = sight == Sight::kSome;
      if (some_hidden) hide(head.visible, first, queries, key, keys, weights);
      for (int n = 0; n < kVectors; ++n) {
        Floats lse = load(g.lse + first + n * kLanes) * kLog2e;
        lse = lse < kHidden ? all(-kHidden) : lse;  // of a query that sees nothing
        const Floats delta = load(g.delta + first + n * kLanes);
        for (int j = 0; j < keys; ++j) {
          float* const weight = weights + j * kQueryTile + n * kLanes;
          float* const slope = slopes + j * kQueryTile + n * kLanes;
          const Floats score = load(weight);
          Floats power = exp2_of_small(score - lse);
          if (some_hidden) power = score < 0.5F * kHidden ? Floats{} : power;
          store(weight, power);
          store(slope, power * (load(slope) - delta));
        }
      }
      multiply<Left::kRows>(keys, value_dim, queries, weights, kQueryTile,
                            g.gradient + first * value_dim, value_dim, g.dv + key * value_dim,
                            value_dim, /*adds=*/true);
      multiply<Left::kRows>(keys, dim, queries, slopes, kQueryTile, head.q + first * dim, dim,
                            g.dk + key * dim, dim, /*adds=*/true);
      multiply<Left::kColumns>(queries, dim, keys, slopes, kQueryTile, head.k + key * dim, dim,
                               g.dq + first * dim, dim, /*adds=*/true);
    }
  }
}

}  // namespace

extern const AttentionTiles attention_tiles;  // or it would be this file's own
const AttentionTiles attention_tiles = {forward, backward};

}  // namespace titan::kernels::TITAN_ISA
