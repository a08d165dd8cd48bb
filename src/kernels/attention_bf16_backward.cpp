#include "kernels/bf16_tile_products.h"

namespace titan::kernels {
namespace TITAN_ISA {
namespace {

/// sums [32, 16 · tiles] += weights [32 keys, 64 queries] (lines: tile (key, query) at 2 · key + query) times rows of the
/// queries by features
inline void add_to_keys(const std::uint8_t* weights, const std::uint8_t* rows, std::int64_t tiles,
                        float* sums) {
  const std::int64_t stride = tiles * kLines;
  const std::int64_t bytes = stride * static_cast<std::int64_t>(sizeof(float));
  for (std::int64_t c = 0; c < tiles; ++c) {
    float* const place = sums + c * kLines;
    _tile_loadd(0, place, bytes);
    _tile_loadd(1, place + 16 * stride, bytes);
    for (int t = 0; t < 2; ++t) {
      _tile_loadd(4, weights + t * kTile, 64);
      _tile_loadd(5, weights + (2 + t) * kTile, 64);
      _tile_loadd(6, rows + (t * tiles + c) * kTile, 64);
      _tile_dpbf16ps(0, 4, 6);
      _tile_dpbf16ps(1, 5, 6);
    }
    _tile_stored(0, place, bytes);
    _tile_stored(1, place + 16 * stride, bytes);
  }
}

struct BackwardRoom {
  BackwardRoom(const HeadShape& shape, std::int64_t heads, std::uint8_t* room) {
    const std::int64_t queries = tiles_of(shape.queries, kQueryTile) * kQueryTile;
    dim_tiles = tiles_of(shape.dim, kLines);
    value_tiles = tiles_of(shape.value_dim, kLines);
    Cutter cut(room);
    keys = cut.bytes(packed_by_rows(shape.keys, shape.dim));
    keys_by_features = cut.bytes(packed_by_features(shape.keys, shape.dim));
    values = cut.bytes(packed_by_rows(shape.keys, shape.value_dim));
    scores = cut.floats(kBackwardKeys * kQueryTile);
    slopes = cut.floats(kBackwardKeys * kQueryTile);
    weight_lines = cut.bytes(kBackwardKeys * kQueryTile * 2);
    slope_lines = cut.bytes(kBackwardKeys * kQueryTile * 2);
    slope_pairs = cut.bytes(kBackwardKeys * kQueryTile * 2);
    dk = cut.floats(kBackwardKeys * dim_tiles * kLines);
    dv = cut.floats(kBackwardKeys * value_tiles * kLines);
    ones = cut.floats(queries);
    const std::int64_t before = cut.used();
    first_head = cut.bytes(0);
    queries_by_rows = cut.bytes(packed_by_rows(shape.queries, shape.dim)) - first_head;
    queries_by_features = cut.bytes(packed_by_features(shape.queries, shape.dim)) - first_head;
    gradient_by_rows = cut.bytes(packed_by_rows(shape.queries, shape.value_dim)) - first_head;
    gradient_by_features =
        cut.bytes(packed_by_features(shape.queries, shape.value_dim)) - first_head;
    lse = cut.bytes(queries * 4) - first_head;
    delta = cut.bytes(queries * 4) - first_head;
    dq = cut.bytes(dim_tiles * kLines * queries * 4) - first_head;
    head_bytes = cut.used() - before;
    size = before + heads * head_bytes;
    padded_queries = queries;
  }
  std::uint8_t* of(std::int64_t head, std::int64_t part) const {
    return first_head + head * head_bytes + part;
  }
  float* floats_of(std::int64_t head, std::int64_t part) const {
    return reinterpret_cast<float*>(of(head, part));
  }

  std::int64_t padded_queries;
  std::int64_t dim_tiles;
  std::int64_t value_tiles;
  std::uint8_t* keys;
  std::uint8_t* keys_by_features;
  std::uint8_t* values;
  float* scores;
  float* slopes;
  std::uint8_t* weight_lines;
  std::uint8_t* slope_lines;
  std::uint8_t* slope_pairs;
  float* dk;
  float* dv;
  float* ones;
  std::uint8_t* first_head;
  std::int64_t head_bytes;
  // Places in a head's part.
  std::int64_t queries_by_rows;
  std::int64_t queries_by_features;
  std::int64_t gradient_by_rows;
  std::int64_t gradient_by_features;
  std::int64_t lse;
  std::int64_t delta;  // the sum of gradient times output minus the gradient of lse
  std::int64_t dq;     // [dim, queries]
  std::int64_t size;
};

float product_of_rows(const std::uint16_t* a, const std::uint16_t* b, std::int64_t count) {
  Floats total = {};
  for (std::int64_t i = 0; i < count; i += kLanes) {
    const __mmask16 mask = first_lanes(count - i);
    const auto floats = [&](const std::uint16_t* from) {
      return __builtin_bit_cast(
          Floats,
          _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(mask, from + i)), 16));
    };
    total += floats(a) * floats(b);
  }
  return sum(total);
}

void prepare_head(const HeadShape& shape, const QueryHead<std::uint16_t>& head, std::int64_t number,
                  const BackwardRoom& room) {
  pack_by_rows(head.queries, shape.queries, shape.dim, /*as_pairs=*/true,
               room.of(number, room.queries_by_rows));
  pack_by_features(head.queries, shape.queries, shape.dim, /*as_lines=*/false,
                   room.of(number, room.queries_by_features));
  pack_by_rows(head.gradient, shape.queries, shape.value_dim, /*as_pairs=*/true,
               room.of(number, room.gradient_by_rows));
  pack_by_features(head.gradient, shape.queries, shape.value_dim, /*as_lines=*/false,
                   room.of(number, room.gradient_by_features));
  prepare_slopes(shape, head, room.padded_queries, product_of_rows,
                 room.floats_of(number, room.lse), room.floats_of(number, room.delta));
  float* const dq = room.floats_of(number, room.dq);
  for (std::int64_t i = 0; i < room.dim_tiles * kLines * room.padded_queries; i += kLanes) {
    store(dq + i, Floats{});
  }
}

/// Makes of scores and of gradient times values the weights, and the slopes of the scores, as the unit wants them.
void make_slopes(const HeadShape& shape, std::int64_t keys, bool some_hidden, const float* lse,
                 const float* delta, const BackwardRoom& room) {
  const float scale = shape.scale * kLog2e;
  for (std::int64_t j = 0; j < kBackwardKeys; j += 2) {
    for (int half = 0; half < 2; ++half) {
      Floats power[2][2];
      Floats slope[2][2];
      for (int row = 0; row < 2; ++row) {
        for (int n = 0; n < 2; ++n) {
          const std::int64_t query = (2 * half + n) * kLanes;
          const std::int64_t place = (j + row) * kQueryTile + query;
          const Floats score = load(room.scores + place);
          Floats p = exp2_of_small(score * scale - load(lse + query));
          if (some_hidden) p = score < 0.5F * kHidden ? Floats{} : p;
          p = j + row < keys ? p : Floats{};
          power[row][n] = p;
          slope[row][n] = p * (load(room.slopes + place) - load(delta + query));
        }
      }
      for (int row = 0; row < 2; ++row) {
        const std::int64_t place =
            ((j + row) / kLines * 2 + half) * kTile + (j + row) % kLines * 64;
        _mm512_store_si512(room.weight_lines + place, rounded(power[row][0], power[row][1]));
        _mm512_store_si512(room.slope_lines + place, rounded(slope[row][0], slope[row][1]));
      }
      for (int n = 0; n < 2; ++n) {
        _mm512_store_si512(room.slope_pairs + (2 * half + n) * kTile + j / 2 * 64,
                           rounded_pairs(slope[0][n], slope[1][n]));
      }
    }
  }
}

/// What a tile of keys and a tile of queries add to the gradients.
void add_tile(const HeadShape& shape, std::int64_t key, std::int64_t head, std::int64_t first,
              const BackwardRoom& room) {
  const std::int64_t keys = smaller(kBackwardKeys, shape.keys - key);
  const std::int64_t queries = smaller(kQueryTile, shape.queries - first);
  const Sight sight = sight_of(shape.visible, first, queries, key, keys);
  if (sight == Sight::kNothing) return;
  const std::int64_t steps = tiles_of(shape.dim, kDepth);
  const std::int64_t value_steps = tiles_of(shape.value_dim, kDepth);
  multiply_scores(room.keys + key / kLines * steps * kTile,
                  room.of(head, room.queries_by_rows) + first / kLines * steps * kTile, steps,
                  kBackwardKeys, room.scores);
  multiply_scores(room.values + key / kLines * value_steps * kTile,
                  room.of(head, room.gradient_by_rows) + first / kLines * value_steps * kTile,
                  value_steps, kBackwardKeys, room.slopes);
  if (sight == Sight::kSome) hide(shape.visible, first, queries, key, keys, room.scores);
  make_slopes(shape, keys, sight == Sight::kSome, room.floats_of(head, room.lse) + first,
              room.floats_of(head, room.delta) + first, room);
  add_to_keys(room.weight_lines,
              room.of(head, room.gradient_by_features) + first / kDepth * room.value_tiles * kTile,
              room.value_tiles, room.dv);
  add_to_keys(room.slope_lines,
              room.of(head, room.queries_by_features) + first / kDepth * room.dim_tiles * kTile,
              room.dim_tiles, room.dk);
  for (std::int64_t c = 0; c < room.dim_tiles; ++c) {
    add_product(room.keys_by_features + (key / kDepth * room.dim_tiles + c) * kTile, 0,
                room.slope_pairs, 1,
                room.floats_of(head, room.dq) + c * kLines * room.padded_queries + first,
                room.padded_queries);
  }
}

/// Rows in bf16 of rows in fp32, times a factor.
void write_key_rows(const float* from, std::int64_t stride, std::int64_t rows,
                    std::int64_t features, float factor, std::uint16_t* to,
                    std::int64_t to_stride) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t d = 0; d < features; d += kLanes) {
      const auto row =
          _mm512_cvtneps_pbh(__builtin_bit_cast(__m512, load(from + i * stride + d) * factor));
      _mm256_mask_storeu_epi16(to + i * to_stride + d, first_lanes(features - d),
                               __builtin_bit_cast(__m256i, row));
    }
  }
}

}  // namespace
}  // namespace TITAN_ISA

using namespace TITAN_ISA;

std::int64_t backward_bf16_bytes(const HeadShape& shape, std::int64_t heads) {
  return BackwardRoom(shape, heads, nullptr).size;
}

void backward_bf16(const HeadShape& shape, Rows<std::uint16_t> keys, Rows<std::uint16_t> values,
                   const QueryHead<std::uint16_t>* queries, std::int64_t heads,
                   ResultRows<std::uint16_t> dk, ResultRows<std::uint16_t> dv,
                   std::uint8_t* given) {
  const BackwardRoom room(shape, heads, given);
  pack_by_rows(keys, shape.keys, shape.dim, /*as_pairs=*/false, room.keys);
  pack_by_features(keys, shape.keys, shape.dim, /*as_lines=*/true, room.keys_by_features);
  pack_by_rows(values, shape.keys, shape.value_dim, /*as_pairs=*/false, room.values);
  for (std::int64_t i = 0; i < room.padded_queries; ++i) room.ones[i] = shape.scale;
  for (std::int64_t head = 0; head < heads; ++head) prepare_head(shape, queries[head], head, room);
  const std::int64_t dim = room.dim_tiles * kLines;
  const std::int64_t value_dim = room.value_tiles * kLines;
  for (std::int64_t key = 0; key < shape.keys; key += kBackwardKeys) {
    for (std::int64_t i = 0; i < kBackwardKeys * dim; i += kLanes) store(room.dk + i, Floats{});
    for (std::int64_t i = 0; i < kBackwardKeys * value_dim; i += kLanes) {
      store(room.dv + i, Floats{});
    }
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t first = 0; first < shape.queries; first += kQueryTile) {
        add_tile(shape, key, head, first, room);
      }
    }
    const std::int64_t rows = smaller(kBackwardKeys, shape.keys - key);
    write_key_rows(room.dk, dim, rows, shape.dim, shape.scale, dk.data + key * dk.stride,
                   dk.stride);
    write_key_rows(room.dv, value_dim, rows, shape.value_dim, 1.0F, dv.data + key * dv.stride,
                   dv.stride);
  }
  for (std::int64_t head = 0; head < heads; ++head) {
    write_rows(room.floats_of(head, room.dq), room.padded_queries, shape.queries, shape.dim,
               room.ones, queries[head].dq.data, queries[head].dq.stride);
  }
}

}  // namespace titan::kernels
