#include "kernels/bf16_tile_products.h"

namespace titan::kernels {
namespace TITAN_ISA {
namespace {

struct ForwardRoom {
  ForwardRoom(const HeadShape& shape, std::uint8_t* room) {
    Cutter cut(room);
    queries = cut.bytes(packed_by_rows(kQueryTile, shape.dim));
    scores = cut.floats(kForwardKeys * kQueryTile);
    weights = cut.bytes(kForwardKeys * kQueryTile * 2);
    sums = cut.floats(tiles_of(shape.value_dim, kLines) * kLines * kQueryTile);
    size = cut.used();
  }
  std::uint8_t* queries;
  float* scores;
  std::uint8_t* weights;  // pairs of keys
  float* sums;            // [value_dim, kQueryTile]
  std::int64_t size;
};

/// Largest scores and sums of exponentials of a tile's queries so far.
struct Softmax {
  Floats largest[kVectors];
  Floats sum[kVectors];

  /// Makes of scores, which are to be multiplied by `scale`, weights; true: what was summed up before is to be
  /// multiplied by factors.
  bool take(std::int64_t keys, const float* scores, float scale, bool some_hidden,
            std::uint8_t* weights, float* factors) {
    Floats most[kVectors];
    for (int n = 0; n < kVectors; ++n) most[n] = all(-__builtin_inff());
    for (std::int64_t j = 0; j < keys; ++j) {
      for (int n = 0; n < kVectors; ++n) {
        most[n] = larger(load(scores + j * kQueryTile + n * kLanes), most[n]);
      }
    }
    bool grew = false;
    for (int n = 0; n < kVectors; ++n) {
      const Floats now = larger(most[n] * scale, largest[n]);
      const Floats factor = exp2_of_small(largest[n] - now);
      grew = grew || _mm512_cmpneq_epi32_mask(bits_of(now), bits_of(largest[n])) != 0;
      store(factors + n * kLanes, factor);
      Floats total = sum[n] * factor;
      const auto power_of = [&](std::int64_t j) {
        const Floats score = load(scores + j * kQueryTile + n * kLanes);
        const Floats power = exp2_of_small(score * scale - now);
        return some_hidden ? (score < 0.5F * kHidden ? Floats{} : power) : power;
      };
      for (std::int64_t j = 0; j < kForwardKeys; j += 2) {
        const Floats even = j < keys ? power_of(j) : Floats{};
        const Floats odd = j + 1 < keys ? power_of(j + 1) : Floats{};
        total += even + odd;
        _mm512_store_si512(weights + (j / kDepth * kVectors + n) * kTile + j % kDepth / 2 * 64,
                           rounded_pairs(even, odd));
      }
      largest[n] = now;
      sum[n] = total;
    }
    return grew;
  }
};

}  // namespace
}  // namespace TITAN_ISA

using namespace TITAN_ISA;

void pack_keys(const HeadShape& shape, Rows<std::uint16_t> keys, Rows<std::uint16_t> values,
               std::uint8_t* to) {
  pack_by_rows(keys, shape.keys, shape.dim, /*as_pairs=*/false, to);
  pack_by_features(values, shape.keys, shape.value_dim, /*as_lines=*/true,
                   to + packed_by_rows(shape.keys, shape.dim));
}

std::int64_t forward_bf16_bytes(const HeadShape& shape) { return ForwardRoom(shape, nullptr).size; }

void forward_bf16(const HeadShape& shape, Rows<std::uint16_t> queries,
                  const std::uint8_t* packed_keys, std::int64_t first, std::uint16_t* out,
                  std::int64_t out_stride, float* lse, std::uint8_t* room) {
  const ForwardRoom in(shape, room);
  const std::int64_t count = smaller(kQueryTile, shape.queries - first);
  const std::int64_t steps = tiles_of(shape.dim, kDepth);
  const std::int64_t value_tiles = tiles_of(shape.value_dim, kLines);
  const std::uint8_t* const values = packed_keys + packed_by_rows(shape.keys, shape.dim);
  pack_by_rows({queries.data + first * queries.stride, queries.stride}, count, shape.dim,
               /*as_pairs=*/true, in.queries);
  Softmax softmax;
  for (int n = 0; n < kVectors; ++n) {
    softmax.largest[n] = all(kHidden);
    softmax.sum[n] = Floats{};
  }
  for (std::int64_t i = 0; i < value_tiles * kLines * kQueryTile; i += kLanes) {
    store(in.sums + i, Floats{});
  }
  for (std::int64_t key = 0; key < shape.keys; key += kForwardKeys) {
    const std::int64_t keys = smaller(kForwardKeys, shape.keys - key);
    const Sight sight = sight_of(shape.visible, first, count, key, keys);
    if (sight == Sight::kNothing) continue;
    multiply_scores(packed_keys + key / kLines * steps * kTile, in.queries, steps, kForwardKeys,
                    in.scores);
    if (sight == Sight::kSome) hide(shape.visible, first, count, key, keys, in.scores);
    alignas(64) float factors[kQueryTile];
    if (softmax.take(keys, in.scores, shape.scale * kLog2e, sight == Sight::kSome, in.weights,
                     factors)) {
      for (std::int64_t d = 0; d < value_tiles * kLines; ++d) {
        for (int n = 0; n < kVectors; ++n) {
          float* const place = in.sums + d * kQueryTile + n * kLanes;
          store(place, load(place) * load(factors + n * kLanes));
        }
      }
    }
    for (std::int64_t c = 0; c < value_tiles; ++c) {
      add_product(values + (key / kDepth * value_tiles + c) * kTile, value_tiles * kTile,
                  in.weights, kForwardKeys / kDepth, in.sums + c * kLines * kQueryTile, kQueryTile);
    }
  }
  alignas(64) float factors[kQueryTile];
  alignas(64) float totals[kQueryTile];
  alignas(64) float largest[kQueryTile];
  for (int n = 0; n < kVectors; ++n) {
    const Floats total = softmax.sum[n];
    store(factors + n * kLanes, total == Floats{} ? Floats{} : 1.0F / total);
    store(totals + n * kLanes, total);
    store(largest + n * kLanes, softmax.largest[n]);
  }
  for (std::int64_t i = 0; i < count; ++i) {
    lse[first + i] =
        totals[i] != 0 ? (largest[i] + __builtin_log2f(totals[i])) * kLn2 : -__builtin_inff();
  }
  write_rows(in.sums, kQueryTile, count, shape.value_dim, factors, out + first * out_stride,
             out_stride);
}

}  // namespace titan::kernels
