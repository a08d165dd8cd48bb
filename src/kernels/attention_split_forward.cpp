#include "kernels/attention_split_products.h"

namespace titan::kernels {
namespace {

constexpr int kVectors = kBlock / 16;

struct PackedKeys {
  PackedKeys(const HeadShape& shape, std::int64_t whole_keys) {
    dim_tiles = tiles_of(shape.dim, kLines);
    value_tiles = tiles_of(shape.value_dim, kLines);
    key_bytes = whole_keys / kLines * dim_tiles * 2 * kTile;
    value_bytes = whole_keys / kBlock * value_tiles * 3 * kTile;
  }
  std::int64_t dim_tiles;
  std::int64_t value_tiles;
  std::int64_t key_bytes;
  std::int64_t value_bytes;
};

std::int64_t whole_blocks(std::int64_t count) { return tiles_of(count, kBlock) * kBlock; }

/// Where a query's largest score begins: so far above kHidden that what is hidden has the weight 0 from the first block on.
constexpr float kNoneSeen = 1e-2F * kHidden;

/// 32 queries on their way along the keys.
class QueryBlock {
 public:
  static std::int64_t bytes(const HeadShape& shape) { return QueryBlock(shape, nullptr).used_; }

  QueryBlock(const HeadShape& shape, std::uint8_t* room) : shape_(shape) {
    dim_tiles_ = tiles_of(shape.dim, kLines);
    value_tiles_ = tiles_of(shape.value_dim, kLines);
    Cutter cut(room);
    scores_ = cut.floats(kBlock * kBlock);
    weights_ = cut.bytes(kVectors * kPieces * kTile);
    queries_ = cut.bytes(kVectors * dim_tiles_ * 3 * kTile);
    sums_ = cut.floats(value_tiles_ * kLines * kBlock);
    used_ = cut.used();
  }

  void begin(Rows<float> queries, const std::uint8_t* keys, const std::uint8_t* values,
             std::int64_t first) {
    first_ = first;
    count_ = smaller(kBlock, shape_.queries - first);
    keys_ = keys;
    values_ = values;
    pack_by_rows({queries.data + first * queries.stride, queries.stride}, count_, kBlock,
                 shape_.dim, shape_.scale * kLog2e, Form::kThree, Side::kAsPairs, queries_);
    for (int n = 0; n < kVectors; ++n) {
      largest_[n] = _mm512_set1_ps(kNoneSeen);
      total_[n] = _mm512_setzero_ps();
    }
    for (std::int64_t i = 0; i < value_tiles_ * kLines * kBlock; i += 16) {
      _mm512_store_ps(sums_ + i, _mm512_setzero_ps());
    }
    next_ = 0;
    has_weights_ = false;
    find_scores();
  }

  bool is_done() const { return !has_scores_ && !has_weights_; }
  bool has_scores() const { return has_scores_; }
  bool has_weights() const { return has_weights_; }

  /// Scores of the next block of keys of which something is seen.
  void find_scores() {
    for (has_scores_ = false; next_ < shape_.keys && !has_scores_; next_ += kBlock) {
      const std::int64_t keys = smaller(kBlock, shape_.keys - next_);
      const Sight sight = sight_of(shape_.visible, first_, count_, next_, keys);
      if (sight == Sight::kNothing) continue;
      multiply_features<Form::kTwo>(keys_ + next_ / kLines * dim_tiles_ * 2 * kTile, queries_,
                                    dim_tiles_, scores_);
      if (sight == Sight::kSome || keys < kBlock) {
        hide_block(shape_.visible, first_, count_, next_, keys, scores_);
      }
      has_scores_ = true;
      key_ = next_;
    }
  }

  /// Makes of 16 queries' scores weights.
  void weigh(int n) {
    const float* const scores = scores_ + n * 16;
    look_up(n);
    const __m512 now = largest_[n];
    __m512 near = total_[n];
    __m512 far = _mm512_setzero_ps();
    std::uint8_t* const weights = weights_ + n * kPieces * kTile;
#pragma GCC unroll 2
    for (int j = 0; j < kLines; ++j) {
      const __m512 a = power_of_two(_mm512_sub_ps(_mm512_load_ps(scores + j * kBlock), now));
      const __m512 b =
          power_of_two(_mm512_sub_ps(_mm512_load_ps(scores + (kLines + j) * kBlock), now));
      near = _mm512_add_ps(near, a);
      far = _mm512_add_ps(far, b);
      store_words(cut(a), cut(b), weights + j * 64);
    }
    total_[n] = _mm512_add_ps(near, far);
    has_scores_ = false;
    has_weights_ = true;
  }

  void add_values() {
    add_to_features(values_ + key_ / kBlock * value_tiles_ * kPieces * kTile, weights_,
                    value_tiles_, sums_);
    has_weights_ = false;
  }

  void write(float* out, std::int64_t out_stride, float* lse) const {
    alignas(64) float factors[kBlock];
    alignas(64) float totals[kBlock];
    alignas(64) float largest[kBlock];
    for (int n = 0; n < kVectors; ++n) {
      _mm512_store_ps(totals + n * 16, total_[n]);
      _mm512_store_ps(largest + n * 16, largest_[n]);
    }
    for (std::int64_t i = 0; i < kBlock; ++i) factors[i] = totals[i] == 0 ? 0 : 1.0F / totals[i];
    for (std::int64_t i = 0; i < count_; ++i) {
      lse[first_ + i] =
          totals[i] != 0 ? (largest[i] + __builtin_log2f(totals[i])) * kLn2 : -__builtin_inff();
    }
    write_rows(sums_, kBlock, count_, shape_.value_dim, factors, out + first_ * out_stride,
               out_stride);
  }

 private:
  /// The largest score so far.
  void look_up(int n) {
    const float* const scores = scores_ + n * 16;
    __m512 most[4];
    for (int j = 0; j < 4; ++j) most[j] = _mm512_load_ps(scores + j * kBlock);
    for (int j = 4; j < kBlock; j += 4) {
      for (int i = 0; i < 4; ++i) {
        most[i] = _mm512_max_ps(_mm512_load_ps(scores + (j + i) * kBlock), most[i]);
      }
    }
    const __m512 now = _mm512_max_ps(
        _mm512_max_ps(_mm512_max_ps(most[0], most[1]), _mm512_max_ps(most[2], most[3])),
        largest_[n]);
    if (_mm512_cmp_ps_mask(now, largest_[n], _CMP_NEQ_UQ) == 0) return;
    const __m512 factor = power_of_two(_mm512_sub_ps(largest_[n], now));
    largest_[n] = now;
    total_[n] = _mm512_mul_ps(total_[n], factor);
    for (std::int64_t d = 0; d < value_tiles_ * kLines; ++d) {
      float* const place = sums_ + d * kBlock + n * 16;
      _mm512_store_ps(place, _mm512_mul_ps(_mm512_load_ps(place), factor));
    }
  }

  HeadShape shape_;
  std::int64_t dim_tiles_;
  std::int64_t value_tiles_;
  float* scores_;          // [keys, queries]
  std::uint8_t* weights_;  // pairs, three pieces of 16 queries
  std::uint8_t* queries_;
  float* sums_;  // [value_dim, queries]
  std::int64_t used_;
  const std::uint8_t* keys_ = nullptr;
  const std::uint8_t* values_ = nullptr;
  std::int64_t first_ = 0;
  std::int64_t count_ = 0;
  std::int64_t key_ = 0;   // of scores or weights
  std::int64_t next_ = 0;  // of the next ones
  bool has_scores_ = false;
  bool has_weights_ = false;
  __m512 largest_[kVectors];
  __m512 total_[kVectors];
};

/// Turns of two blocks of queries: no product waits for numbers that were stored just before it, and no softmax either.
inline void advance(QueryBlock& weighs, QueryBlock& multiplies) {
  const bool has_scores = weighs.has_scores();
  const bool goes_on = multiplies.has_weights();
  if (goes_on) multiplies.add_values();
  if (has_scores) weighs.weigh(0);
  if (goes_on) multiplies.find_scores();
  if (has_scores) weighs.weigh(1);
}

}  // namespace

std::int64_t split_keys_bytes(const HeadShape& shape) {
  const PackedKeys packed(shape, whole_blocks(shape.keys));
  return packed.key_bytes + packed.value_bytes;
}

void split_keys(const HeadShape& shape, Rows<float> keys, Rows<float> values, std::uint8_t* to) {
  const std::int64_t whole = whole_blocks(shape.keys);
  pack_by_rows(keys, shape.keys, whole, shape.dim, 1.0F, Form::kTwo, Side::kAsLines, to);
  pack_by_features(values, shape.keys, whole, shape.value_dim, Side::kAsLines,
                   to + PackedKeys(shape, whole).key_bytes);
}

std::int64_t forward_split_bytes(const HeadShape& shape) { return 2 * QueryBlock::bytes(shape); }

void forward_split(const HeadShape& shape, Rows<float> queries, const std::uint8_t* keys,
                   std::int64_t first, float* out, std::int64_t out_stride, float* lse,
                   std::uint8_t* room) {
  const std::uint8_t* const values = keys + PackedKeys(shape, whole_blocks(shape.keys)).key_bytes;
  QueryBlock near(shape, room);
  QueryBlock far(shape, room + QueryBlock::bytes(shape));
  near.begin(queries, keys, values, first);
  const bool has_far = first + kBlock < shape.queries;
  if (has_far) far.begin(queries, keys, values, first + kBlock);
  while (!near.is_done() || (has_far && !far.is_done())) {
    advance(near, far);
    advance(far, near);
  }
  near.write(out, out_stride, lse);
  if (has_far) far.write(out, out_stride, lse);
}

}  // namespace titan::kernels
