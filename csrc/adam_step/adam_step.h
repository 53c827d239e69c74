// Adam (Kingma & Ba, ICLR 2015) on the tiles of the object that a batch sees.
//
// Step n with the gradient g, learning rate lr:
//
//   m <- b1 m + (1 - b1) g      v <- b2 v + (1 - b2) g^2
//   x <- x - a m / (b sqrt(v) + eps)      a = lr / (1 - b1^n)      b = 1 / sqrt(1 - b2^n)
//
// Where g = 0 for k steps, their moves have the same m and v in them, but for decays:
//
//   x <- x - sum_j a_j b1^j m / (b_j b2^(j/2) sqrt(v) + eps)
//
// Such a tile is left alone, and only the tile's sums go on:
//
//   decay1 = b1^k      move = sum_j a_j b1^j
//   decay2 = b2^k      scaled_move = sum_j a_j b1^j / (b_j b2^(j/2))
//
// When the tile is needed again it catches up:
//
//   x <- x - m / (sqrt(v) / scaled_move + eps / move)
//
// which is exact where sqrt(v) is much larger or much smaller than eps, and for k = 1; between, the
// move is too large by at most ((r^(1/2) + r^(-1/2)) / 2 - 1) / 2, r the ratio of the largest to
// the smallest b_j b2^(j/2) (docs/derivations/adam_step.md). A step of a tile that has a gradient
// is the case of a single term.
#pragma once

#include <cstdint>

#include "common/simd.h"

namespace fastpty {

constexpr int kAdamTile = 16;  // pixels, each way

// What steps without a gradient have left for a tile to do; the names are those above.
struct AdamArrears {
  double decay1, decay2, move, scaled_move;
};

enum AdamState : std::int32_t {
  kAway = 0,     // values and moments are in arrears
  kReached = 1,  // by the latest batch: values are caught up with now
  kCurrent = 2,  // by an earlier batch: values are right, moments in arrears
  kStepped = 3,  // nothing is in arrears, whatever stands in AdamArrears
};

// Arrays are contiguous; a tile is kAdamTile x kAdamTile pixels of all planes, cut at the far
// edges.
struct AdamTiles {
  std::int64_t planes, rows, cols;
  float* value;          // [planes, rows, cols]
  float* first;          // m, the same shape
  float* second;         // v
  AdamArrears* arrears;  // [tiles], row by row
  std::int32_t* state;   // [tiles], AdamState
  double beta1, beta2, eps;
};

// Windows of a batch, and how far beyond them its gradient reaches.
struct AdamWindows {
  std::int64_t positions;
  std::int64_t window[2], reach[2];  // y, x
  const std::int64_t* corner;        // [positions, 2], the window's top-left pixel
};

// Bring the values of all tiles that the windows touch up to date, and remember the tiles.
void adam_catch_up(const AdamTiles& tiles, const AdamWindows& windows);

// Step number `step` (from 1): of the tiles that were caught up with since the last, with their
// part of the gradient [planes, rows, cols]; the others go into arrears.
void adam_step(const AdamTiles& tiles, const float* gradient, double rate, double step);

// Bring values and moments of all tiles up to date.
void adam_settle(const AdamTiles& tiles);

// What a pixel of a tile needs: m <- decay1 m (+ g1 g), v <- decay2 v (+ g2 g^2),
// x <- x - m / (root sqrt(v) + eps).
struct AdamFactors {
  bool active;
  float decay1, decay2, root, eps;
};

// Rows [row, row_end) of a plane, which lie in one row of tiles; `factors` are those of its tiles.
// clang-format off
FASTPTY_DECLARE_VARIANTS(
  void adam_catch_up_rows(const AdamTiles& tiles, const AdamFactors* factors, std::int64_t plane,
                          std::int64_t row, std::int64_t row_end);
  void adam_step_rows(const AdamTiles& tiles, const AdamFactors* factors, std::int64_t plane,
                      std::int64_t row, std::int64_t row_end, const float* gradient);
  void adam_settle_rows(const AdamTiles& tiles, const AdamFactors* factors, std::int64_t plane,
                        std::int64_t row, std::int64_t row_end);
)
// clang-format on

}  // namespace fastpty
