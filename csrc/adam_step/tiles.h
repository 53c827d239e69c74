// What happens to a tile's arrears, on any device; adam_step.h says what they are.
#pragma once

#include <cmath>

#include "adam_step/adam_step.h"
#include "common/complex.h"

namespace fastpty {

FASTPTY_BOTH static inline std::int64_t adam_tiles_along(std::int64_t pixels) {
  return (pixels + kAdamTile - 1) / kAdamTile;
}

// A step's own term: a, and a / b.
struct AdamTerm {
  double move, scaled_move;
};
FASTPTY_BOTH static inline AdamTerm adam_term(const AdamTiles& tiles, double rate, double step) {
  // 1 - b^n, without the loss of digits where b^n is nearly 1
  const double first = -std::expm1(step * std::log(tiles.beta1));
  const double second = -std::expm1(step * std::log(tiles.beta2));
  return {rate / first, rate / first * std::sqrt(second)};
}

// A tile that has taken part in a step is like any other from then on.
FASTPTY_BOTH static inline void adam_forget_step(AdamArrears& arrears, std::int32_t& state) {
  if (state != kStepped) return;
  arrears = {1, 1, 0, 0};
  state = kAway;
}

// Of a tile, whether or not the windows of a new batch touch it.
FASTPTY_BOTH static inline void adam_reach(AdamArrears& arrears, std::int32_t& state,
                                           bool touched) {
  adam_forget_step(arrears, state);
  if (state == kReached) state = kCurrent;
  if (state == kAway && touched) state = kReached;
}

// A step, before the pixels of those that it leaves kStepped.
FASTPTY_BOTH static inline void adam_advance(const AdamTiles& tiles, const AdamTerm& term,
                                             AdamArrears& arrears, std::int32_t& state) {
  adam_forget_step(arrears, state);
  AdamArrears& a = arrears;
  a.decay1 *= tiles.beta1;
  a.decay2 *= tiles.beta2;
  if (state != kAway) {
    a.move = term.move;
    a.scaled_move = term.scaled_move;
    state = kStepped;
  } else if (a.decay1 > 0) {  // it may leave the range of double precision
    a.move += a.decay1 * term.move;
    a.scaled_move += a.decay1 / std::sqrt(a.decay2) * term.scaled_move;
  }
}

FASTPTY_BOTH static inline AdamFactors adam_factors(const AdamTiles& tiles,
                                                    const AdamArrears& arrears, bool active,
                                                    bool moves) {
  AdamFactors f;
  f.active = active;
  f.decay1 = static_cast<float>(arrears.decay1);
  f.decay2 = static_cast<float>(arrears.decay2);
  const auto move = static_cast<float>(arrears.move);
  const auto scaled_move = static_cast<float>(arrears.scaled_move);
  // Without a move, the division by infinity leaves x as it is.
  moves = moves && move > 0 && scaled_move > 0;
  f.root = moves ? 1 / scaled_move : 0;
  f.eps = moves ? static_cast<float>(tiles.eps) / move : INFINITY;
  return f;
}
FASTPTY_BOTH static inline AdamFactors adam_catch_up_factors(const AdamTiles& tiles,
                                                             const AdamArrears& arrears,
                                                             std::int32_t state) {
  return adam_factors(tiles, arrears, state == kReached && arrears.move > 0, true);
}
FASTPTY_BOTH static inline AdamFactors adam_step_factors(const AdamTiles& tiles,
                                                         const AdamArrears& arrears,
                                                         std::int32_t state) {
  return adam_factors(tiles, arrears, state == kStepped, true);
}
FASTPTY_BOTH static inline AdamFactors adam_settle_factors(const AdamTiles& tiles,
                                                           const AdamArrears& arrears,
                                                           std::int32_t state) {
  return adam_factors(tiles, arrears, state != kStepped && arrears.decay1 < 1, state == kAway);
}

}  // namespace fastpty
