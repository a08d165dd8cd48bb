#pragma once

#include "cuda/portable.h"

namespace titan::cuda {

/// `[batch, length, heads, dim]`, a head's numbers one behind the other; strides in numbers.
struct Heads {
  std::int64_t row_stride = 0;
  std::int64_t token_stride = 0;
  std::int64_t head_stride = 0;
};

/// What turns are made: of x to y by a table in fp32 whose rows are whole and one behind the other.
struct Rotation {
  std::int64_t batch = 0;
  std::int64_t length = 0;
  int heads = 0;
  int dim = 0;
  Heads x;
  Heads y;
  const float* table = nullptr;
  bool table_by_row = false;  // one for each row of the batch, or one for all
  bool back = false;
};

/// Neighbours of the table, in fours where packs are whole.
template <int kWidth>
struct Turns {
  TITAN_PORTABLE explicit Turns(const float* from) {
    constexpr int kTogether = kWidth % 4 == 0 ? 4 : 1;
    for (int i = 0; i < kWidth; i += kTogether) {
      const auto pack = pack_at<kTogether>(from + i);
      for (int j = 0; j < kTogether; ++j) values[i + j] = pack.values[j];
    }
  }
  float values[kWidth];
};

/// Where a token's numbers and its row of the table begin.
struct Token {
  std::int64_t x;
  std::int64_t y;
  std::int64_t table;
};

TITAN_PORTABLE inline Token token_at(const Rotation& r, std::int64_t token, int table_columns) {
  const std::int64_t row = token / r.length;
  const std::int64_t place = token - row * r.length;
  return {row * r.x.row_stride + place * r.x.token_stride,
          row * r.y.row_stride + place * r.y.token_stride,
          (r.table_by_row ? token : place) * table_columns};
}

/// Adjacent pairs, by (cos, sin) of each: a table of `dim` columns. Pack number `part` of the token, of heads · dim / width.
template <int kWidth, class Number>
TITAN_PORTABLE void rotate_pairs_part(const Rotation& r, const Token& token, int part,
                                      const Number* x, Number* y) {
  const int packs = r.dim / kWidth;
  const int head = part / packs;
  const int first = (part - head * packs) * kWidth;
  const auto in = pack_at<kWidth>(x + token.x + head * r.x.head_stride + first);
  const Turns<kWidth> turns(r.table + token.table + first);
  const float direction = r.back ? -1.0F : 1.0F;
  Pack<Number, kWidth> out;
  for (int i = 0; i < kWidth; i += 2) {
    const float a = to_float(in.values[i]);
    const float b = to_float(in.values[i + 1]);
    const float cosine = turns.values[i];
    const float sine = direction * turns.values[i + 1];
    store(out.values[i], a * cosine - b * sine);
    store(out.values[i + 1], b * cosine + a * sine);
  }
  pack_at<kWidth>(y + token.y + head * r.y.head_stride + first) = out;
}

/// Number i of the first half with number i of the second, by cosines and then sines of all: a table of 2 · `dim`
/// columns. Pack number `part` of the halves, of heads · dim / 2 / width.
template <int kWidth, class Number>
TITAN_PORTABLE void rotate_halves_part(const Rotation& r, const Token& token, int part,
                                       const Number* x, Number* y) {
  const int half = r.dim / 2;
  const int packs = half / kWidth;
  const int head = part / packs;
  const int first = (part - head * packs) * kWidth;
  const Number* from = x + token.x + head * r.x.head_stride + first;
  const auto lower = pack_at<kWidth>(from);
  const auto upper = pack_at<kWidth>(from + half);
  const float* row = r.table + token.table + first;
  const Turns<kWidth> lower_cosines(row);
  const Turns<kWidth> upper_cosines(row + half);
  const Turns<kWidth> lower_sines(row + r.dim);
  const Turns<kWidth> upper_sines(row + r.dim + half);
  Pack<Number, kWidth> out_lower;
  Pack<Number, kWidth> out_upper;
  for (int i = 0; i < kWidth; ++i) {
    const float a = to_float(lower.values[i]);
    const float b = to_float(upper.values[i]);
    // Backward is the transposed: what came from the one goes to it.
    const float into_lower = r.back ? upper_sines.values[i] : -lower_sines.values[i];
    const float into_upper = r.back ? -lower_sines.values[i] : upper_sines.values[i];
    store(out_lower.values[i], a * lower_cosines.values[i] + b * into_lower);
    store(out_upper.values[i], b * upper_cosines.values[i] + a * into_upper);
  }
  Number* to = y + token.y + head * r.y.head_stride + first;
  pack_at<kWidth>(to) = out_lower;
  pack_at<kWidth>(to + half) = out_upper;
}

}  // namespace titan::cuda
