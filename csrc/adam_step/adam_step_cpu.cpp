// The loops of adam_step over pixels; the equations are in adam_step.h.
//
// Compiled once per instruction set, see common/simd.h. Row by row across the tiles, as the values
// lie in memory; a tile's part of a row is one or two vectors, of a length that is known.
#include "adam_step/adam_step.h"

namespace fastpty {
namespace FASTPTY_SIMD {
namespace {

using Index = std::int64_t;

constexpr Index kRowsAhead = 2;

enum class Work { catch_up, step, settle };

// `count` pixels of one tile.
template <Work kWork>
inline __attribute__((always_inline)) void pixels(Index count, const AdamFactors& f, float g1,
                                                  float g2, float* __restrict__ x,
                                                  float* __restrict__ first,
                                                  float* __restrict__ second,
                                                  const float* __restrict__ gradient) {
  for (Index i = 0; i < count; ++i) {
    float m = first[i], v = second[i];
    if (kWork == Work::step) {
      m = f.decay1 * m + g1 * gradient[i];
      v = f.decay2 * v + g2 * (gradient[i] * gradient[i]);
    }
    x[i] -= m / (f.root * __builtin_sqrtf(v) + f.eps);
    if (kWork == Work::settle) {
      m = f.decay1 * m;
      v = f.decay2 * v;
    }
    if (kWork != Work::catch_up) {
      first[i] = m;
      second[i] = v;
    }
  }
}

// As many as a full tile has, which the compiler makes a vector or two.
template <Work kWork>
__attribute__((noinline)) void full_tile(const AdamFactors& f, float g1, float g2,
                                         float* __restrict__ x, float* __restrict__ first,
                                         float* __restrict__ second,
                                         const float* __restrict__ gradient) {
  pixels<kWork>(kAdamTile, f, g1, g2, x, first, second, gradient);
}

template <Work kWork>
void rows_of_tiles(const AdamTiles& t, const AdamFactors* factors, Index plane, Index row,
                   Index row_end, const float* gradient) {
  const auto g1 = static_cast<float>(1 - t.beta1), g2 = static_cast<float>(1 - t.beta2);
  for (; row < row_end; ++row) {
    const Index line = (plane * t.rows + row) * t.cols;
    for (Index x = 0; x < t.cols; x += kAdamTile) {
      const AdamFactors f = factors[x / kAdamTile];
      if (!f.active) continue;
      const Index at = line + x;
      float *value = t.value + at, *first = t.first + at, *second = t.second + at;
      const float* g = kWork == Work::step ? gradient + at : nullptr;
      // The rows of a tile lie on different pages, where the processor does not look ahead itself.
      const Index ahead = kRowsAhead * t.cols;
      __builtin_prefetch(value + ahead, 1);
      __builtin_prefetch(first + ahead, kWork != Work::catch_up);
      __builtin_prefetch(second + ahead, kWork != Work::catch_up);
      if (kWork == Work::step) __builtin_prefetch(g + ahead);
      if (t.cols - x >= kAdamTile) {
        full_tile<kWork>(f, g1, g2, value, first, second, g);
      } else {
        pixels<kWork>(t.cols - x, f, g1, g2, value, first, second, g);
      }
    }
  }
}

}  // namespace

void adam_catch_up_rows(const AdamTiles& t, const AdamFactors* factors, Index plane, Index row,
                        Index row_end) {
  rows_of_tiles<Work::catch_up>(t, factors, plane, row, row_end, nullptr);
}

void adam_step_rows(const AdamTiles& t, const AdamFactors* factors, Index plane, Index row,
                    Index row_end, const float* gradient) {
  rows_of_tiles<Work::step>(t, factors, plane, row, row_end, gradient);
}

void adam_settle_rows(const AdamTiles& t, const AdamFactors* factors, Index plane, Index row,
                      Index row_end) {
  rows_of_tiles<Work::settle>(t, factors, plane, row, row_end, nullptr);
}

}  // namespace FASTPTY_SIMD
}  // namespace fastpty
