#include "kernels/attention_split_products.h"

namespace titan::kernels {
namespace {

/// Keys for which all queries are gone through once: what belongs to them stays in the second cache.
constexpr std::int64_t kKeysOfTurn = 256;

std::int64_t whole_blocks(std::int64_t count) { return tiles_of(count, kBlock) * kBlock; }

/// What has the three pieces' tiles by features of so many rows, and by rows in a form.
std::int64_t bytes_by_features(std::int64_t rows, std::int64_t tiles) {
  return rows / kBlock * tiles * kPieces * kTile;
}
std::int64_t bytes_by_rows(std::int64_t rows, std::int64_t tiles, Form form) {
  return rows / kLines * tiles * tiles_in(form) * kTile;
}

struct BackwardRoom {
  BackwardRoom(const HeadShape& shape, std::int64_t heads, std::uint8_t* room) {
    whole_queries = whole_blocks(shape.queries);
    whole_keys = whole_blocks(shape.keys);
    dim_tiles = tiles_of(shape.dim, kLines);
    value_tiles = tiles_of(shape.value_dim, kLines);
    Cutter cut(room);
    scores = cut.floats(kBlock * kBlock);
    slopes = cut.floats(kBlock * kBlock);
    weight_lines = cut.bytes(2 * kPieces * kTile);
    slope_lines = cut.bytes(2 * kPieces * kTile);
    slope_pairs = cut.bytes(2 * kPieces * kTile);
    keys = cut.bytes(bytes_by_rows(whole_keys, dim_tiles, Form::kThree));
    values = cut.bytes(bytes_by_rows(whole_keys, value_tiles, Form::kThree));
    keys_by_features = cut.bytes(bytes_by_features(whole_keys, dim_tiles));
    dk = cut.floats(whole_keys * dim_tiles * kLines);
    dv = cut.floats(whole_keys * value_tiles * kLines);
    const std::int64_t before = cut.used();
    first_head = cut.bytes(0);
    const auto place = [&](std::int64_t bytes) { return cut.bytes(bytes) - first_head; };
    queries = place(bytes_by_rows(whole_queries, dim_tiles, Form::kTwo));
    gradient = place(bytes_by_rows(whole_queries, value_tiles, Form::kTwo));
    queries_by_features = place(bytes_by_features(whole_queries, dim_tiles));
    gradient_by_features = place(bytes_by_features(whole_queries, value_tiles));
    lse = place(whole_queries * 4);
    delta = place(whole_queries * 4);
    dq = place(whole_queries * dim_tiles * kLines * 4);
    head_bytes = cut.used() - before;
    size = before + heads * head_bytes;
  }
  std::uint8_t* of(std::int64_t head, std::int64_t part) const {
    return first_head + head * head_bytes + part;
  }
  float* floats_of(std::int64_t head, std::int64_t part) const {
    return reinterpret_cast<float*>(of(head, part));
  }

  std::int64_t whole_queries;
  std::int64_t whole_keys;
  std::int64_t dim_tiles;
  std::int64_t value_tiles;
  float* scores;
  float* slopes;
  std::uint8_t* weight_lines;
  std::uint8_t* slope_lines;
  std::uint8_t* slope_pairs;
  std::uint8_t* keys;
  std::uint8_t* values;
  std::uint8_t* keys_by_features;
  float* dk;  // [keys, dim]
  float* dv;
  std::uint8_t* first_head;
  std::int64_t head_bytes;
  // Places in a head's part.
  std::int64_t queries;
  std::int64_t gradient;
  std::int64_t queries_by_features;
  std::int64_t gradient_by_features;
  std::int64_t lse;
  std::int64_t delta;  // the sum of gradient times output minus the gradient of lse
  std::int64_t dq;     // [block of queries, dim, kBlock]
  std::int64_t size;
};

void clear(float* numbers, std::int64_t count) {
  for (std::int64_t i = 0; i < count; i += 16) _mm512_store_ps(numbers + i, _mm512_setzero_ps());
}

float product_of_rows(const float* a, const float* b, std::int64_t count) {
  __m512 total = _mm512_setzero_ps();
  for (std::int64_t i = 0; i < count; i += 16) {
    const __mmask16 mask = first_lanes(count - i);
    total = _mm512_fmadd_ps(_mm512_maskz_loadu_ps(mask, a + i), _mm512_maskz_loadu_ps(mask, b + i),
                            total);
  }
  return _mm512_reduce_add_ps(total);
}

void prepare_head(const HeadShape& shape, const QueryHead<float>& head, std::int64_t number,
                  const BackwardRoom& room) {
  pack_by_rows(head.queries, shape.queries, room.whole_queries, shape.dim, shape.scale * kLog2e,
               Form::kTwo, Side::kAsPairs, room.of(number, room.queries));
  pack_by_rows(head.gradient, shape.queries, room.whole_queries, shape.value_dim, 1.0F, Form::kTwo,
               Side::kAsPairs, room.of(number, room.gradient));
  pack_by_features(head.queries, shape.queries, room.whole_queries, shape.dim, Side::kAsPairs,
                   room.of(number, room.queries_by_features));
  pack_by_features(head.gradient, shape.queries, room.whole_queries, shape.value_dim,
                   Side::kAsPairs, room.of(number, room.gradient_by_features));
  prepare_slopes(shape, head, room.whole_queries, product_of_rows, room.floats_of(number, room.lse),
                 room.floats_of(number, room.delta));
  clear(room.floats_of(number, room.dq), room.whole_queries * room.dim_tiles * kLines);
}

/// Makes of scores and of gradient times values the weights, and the slopes of the scores, as the unit wants them.
void make_slopes(const float* lse, const float* delta, const BackwardRoom& room) {
  const __m512 lse_of[2] = {_mm512_load_ps(lse), _mm512_load_ps(lse + 16)};
  const __m512 delta_of[2] = {_mm512_load_ps(delta), _mm512_load_ps(delta + 16)};
  for (int j = 0; j < kLines; ++j) {
    Pieces slopes[2][2];
    for (int row = 0; row < 2; ++row) {
      const int key = row * kLines + j;
      Pieces weights[2];
      for (int n = 0; n < 2; ++n) {
        const int place = key * kBlock + n * 16;
        const __m512 weight =
            power_of_two(_mm512_sub_ps(_mm512_load_ps(room.scores + place), lse_of[n]));
        weights[n] = cut(weight);
        slopes[row][n] = cut(
            _mm512_mul_ps(weight, _mm512_sub_ps(_mm512_load_ps(room.slopes + place), delta_of[n])));
      }
      const std::int64_t line = row * kPieces * kTile + j * 64;
      store_words(weights[0], weights[1], room.weight_lines + line);
      store_words(slopes[row][0], slopes[row][1], room.slope_lines + line);
    }
    for (int n = 0; n < 2; ++n) {
      store_words(slopes[0][n], slopes[1][n], room.slope_pairs + n * kPieces * kTile + j * 64);
    }
  }
}

/// sums [32 keys, 16 · tiles] += lines (of 32 keys) times pairs (tiles of features)
void add_to_keys(const std::uint8_t* lines, const std::uint8_t* pairs, std::int64_t tiles,
                 float* sums) {
  const std::int64_t stride = tiles * kLines;
  std::int64_t c = 0;
  for (; c + 2 <= tiles; c += 2) {
    add_rows<true, true>(lines, pairs + c * kPieces * kTile, sums + c * kLines, stride);
  }
  if (c < tiles) {
    add_rows<true, false>(lines, pairs + c * kPieces * kTile, sums + c * kLines, stride);
  }
}

/// A block of keys and a block of queries that see something of them.
struct Block {
  std::int64_t key = 0;
  std::int64_t head = -1;  // none: no block
  std::int64_t first = 0;  // query
};

void multiply_scores(const HeadShape& shape, const Block& block, Sight sight,
                     const BackwardRoom& room) {
  const std::int64_t dim_tiles = room.dim_tiles;
  const std::int64_t value_tiles = room.value_tiles;
  multiply_features<Form::kThree>(
      room.keys + bytes_by_rows(block.key, dim_tiles, Form::kThree),
      room.of(block.head, room.queries) + bytes_by_rows(block.first, dim_tiles, Form::kTwo),
      dim_tiles, room.scores);
  multiply_features<Form::kThree>(
      room.values + bytes_by_rows(block.key, value_tiles, Form::kThree),
      room.of(block.head, room.gradient) + bytes_by_rows(block.first, value_tiles, Form::kTwo),
      value_tiles, room.slopes);
  const std::int64_t keys = smaller(kBlock, shape.keys - block.key);
  if (sight == Sight::kSome || keys < kBlock) {
    hide_block(shape.visible, block.first, smaller(kBlock, shape.queries - block.first), block.key,
               keys, room.scores);
  }
}

/// What its weights and slopes add to the gradients.
void add_gradients(const Block& block, const BackwardRoom& room) {
  const std::int64_t dim_tiles = room.dim_tiles;
  const std::int64_t value_tiles = room.value_tiles;
  add_to_keys(
      room.weight_lines,
      room.of(block.head, room.gradient_by_features) + bytes_by_features(block.first, value_tiles),
      value_tiles, room.dv + block.key * value_tiles * kLines);
  add_to_keys(
      room.slope_lines,
      room.of(block.head, room.queries_by_features) + bytes_by_features(block.first, dim_tiles),
      dim_tiles, room.dk + block.key * dim_tiles * kLines);
  add_to_features(room.keys_by_features + bytes_by_features(block.key, dim_tiles), room.slope_pairs,
                  dim_tiles,
                  room.floats_of(block.head, room.dq) + block.first * dim_tiles * kLines);
}

/// Goes through the blocks. A block's weights are multiplied after the scores of the next: no product waits for numbers that were
/// stored just before it, and the vectors do not wait for scores either.
class Walk {
 public:
  Walk(const HeadShape& shape, const BackwardRoom& room) : shape_(shape), room_(room) {}

  void visit(const Block& block) {
    const Sight sight =
        sight_of(shape_.visible, block.first, smaller(kBlock, shape_.queries - block.first),
                 block.key, smaller(kBlock, shape_.keys - block.key));
    if (sight == Sight::kNothing) return;
    multiply_scores(shape_, block, sight, room_);
    finish();
    make_slopes(room_.floats_of(block.head, room_.lse) + block.first,
                room_.floats_of(block.head, room_.delta) + block.first, room_);
    last_ = block;
  }
  void finish() {
    if (last_.head >= 0) add_gradients(last_, room_);
    last_.head = -1;
  }

 private:
  const HeadShape& shape_;
  const BackwardRoom& room_;
  Block last_;
};

void write_key_rows(const float* from, std::int64_t stride, std::int64_t rows,
                    std::int64_t features, float factor, ResultRows<float> to) {
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t d = 0; d < features; d += 16) {
      prefetch(to.data + (i + kBlock) * to.stride + d);
      _mm512_mask_storeu_ps(
          to.data + i * to.stride + d, first_lanes(features - d),
          _mm512_mul_ps(_mm512_load_ps(from + i * stride + d), _mm512_set1_ps(factor)));
    }
  }
}

}  // namespace

std::int64_t backward_split_bytes(const HeadShape& shape, std::int64_t heads) {
  return BackwardRoom(shape, heads, nullptr).size;
}

void backward_split(const HeadShape& shape, Rows<float> keys, Rows<float> values,
                    const QueryHead<float>* queries, std::int64_t heads, ResultRows<float> dk,
                    ResultRows<float> dv, std::uint8_t* given) {
  const BackwardRoom room(shape, heads, given);
  pack_by_rows(keys, shape.keys, room.whole_keys, shape.dim, 1.0F, Form::kThree, Side::kAsLines,
               room.keys);
  pack_by_rows(values, shape.keys, room.whole_keys, shape.value_dim, 1.0F, Form::kThree,
               Side::kAsLines, room.values);
  pack_by_features(keys, shape.keys, room.whole_keys, shape.dim, Side::kAsLines,
                   room.keys_by_features);
  for (std::int64_t head = 0; head < heads; ++head) prepare_head(shape, queries[head], head, room);
  clear(room.dk, room.whole_keys * room.dim_tiles * kLines);
  clear(room.dv, room.whole_keys * room.value_tiles * kLines);
  Walk walk(shape, room);
  for (std::int64_t turn = 0; turn < shape.keys; turn += kKeysOfTurn) {
    for (std::int64_t head = 0; head < heads; ++head) {
      for (std::int64_t first = 0; first < shape.queries; first += kBlock) {
        for (std::int64_t key = turn; key < smaller(turn + kKeysOfTurn, shape.keys);
             key += kBlock) {
          walk.visit({key, head, first});
        }
      }
    }
  }
  walk.finish();
  write_key_rows(room.dk, room.dim_tiles * kLines, shape.keys, shape.dim, shape.scale, dk);
  write_key_rows(room.dv, room.value_tiles * kLines, shape.keys, shape.value_dim, 1.0F, dv);
  alignas(64) float scale[kBlock];
  for (float& factor : scale) factor = shape.scale;
  for (std::int64_t head = 0; head < heads; ++head) {
    const ResultRows<float>& dq = queries[head].dq;
    for (std::int64_t first = 0; first < shape.queries; first += kBlock) {
      write_rows(room.floats_of(head, room.dq) + first * room.dim_tiles * kLines, kBlock,
                 smaller(kBlock, shape.queries - first), shape.dim, scale,
                 dq.data + first * dq.stride, dq.stride);
    }
  }
}

}  // namespace titan::kernels
