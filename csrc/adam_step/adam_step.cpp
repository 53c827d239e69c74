// The tiles' arrears, and which thread does which pixels. Every pixel is on its own, so no result
// depends on the number of threads.
#include "adam_step/adam_step.h"

#include <algorithm>
#include <vector>

#include "adam_step/tiles.h"
#include "common/thread_pool.h"

namespace fastpty {
namespace {

// Tiles that pixels [first, last) along an axis lie in, within its `pixels`.
struct Range {
  std::int64_t begin, end;
};
Range tiles_of(std::int64_t first, std::int64_t last, std::int64_t pixels) {
  first = std::max<std::int64_t>(first, 0);
  last = std::min(last, pixels);
  return {first / kAdamTile, adam_tiles_along(last)};
}

using Factors = AdamFactors (*)(const AdamTiles&, const AdamArrears&, std::int32_t);

// Calls rows(factors, plane, row, row_end) for every row of tiles with an active one.
template <class Rows>
void for_each_row_of_tiles(const AdamTiles& t, Factors factors_of, Rows rows) {
  const std::int64_t down = adam_tiles_along(t.rows), across = adam_tiles_along(t.cols);
  std::vector<AdamFactors> factors(down * across);
  std::vector<std::int64_t> active;
  for (std::int64_t y = 0; y < down; ++y) {
    bool any = false;
    for (std::int64_t i = y * across; i < (y + 1) * across; ++i) {
      factors[i] = factors_of(t, t.arrears[i], t.state[i]);
      any = any || factors[i].active;
    }
    if (any) active.push_back(y);
  }
  const auto count = static_cast<std::int64_t>(active.size());
  parallel_for(t.planes * count, [&](std::int64_t i) {
    const std::int64_t y = active[i % count], row = y * kAdamTile;
    rows(&factors[y * across], i / count, row, std::min(row + kAdamTile, t.rows));
  });
}

template <class Change>
void for_each_tile(const AdamTiles& t, Change change) {
  const std::int64_t tiles = adam_tiles_along(t.rows) * adam_tiles_along(t.cols);
  for (std::int64_t i = 0; i < tiles; ++i) change(i, t.arrears[i], t.state[i]);
}

}  // namespace

void adam_catch_up(const AdamTiles& t, const AdamWindows& w) {
  const std::int64_t across = adam_tiles_along(t.cols);
  std::vector<char> touched(adam_tiles_along(t.rows) * across, 0);
  for (std::int64_t j = 0; j < w.positions; ++j) {
    const std::int64_t y = w.corner[2 * j], x = w.corner[2 * j + 1];
    const Range down = tiles_of(y - w.reach[0], y + w.window[0] + w.reach[0], t.rows);
    const Range along = tiles_of(x - w.reach[1], x + w.window[1] + w.reach[1], t.cols);
    for (std::int64_t row = down.begin; row < down.end; ++row) {
      for (std::int64_t col = along.begin; col < along.end; ++col) touched[row * across + col] = 1;
    }
  }
  for_each_tile(t, [&](std::int64_t i, AdamArrears& arrears, std::int32_t& state) {
    adam_reach(arrears, state, touched[i] != 0);
  });
  const auto rows = FASTPTY_ACTIVE(adam_catch_up_rows);
  for_each_row_of_tiles(t, adam_catch_up_factors,
                        [&](const AdamFactors* factors, std::int64_t plane, std::int64_t row,
                            std::int64_t row_end) { rows(t, factors, plane, row, row_end); });
}

void adam_step(const AdamTiles& t, const float* gradient, double rate, double step) {
  const AdamTerm term = adam_term(t, rate, step);
  for_each_tile(t, [&](std::int64_t, AdamArrears& arrears, std::int32_t& state) {
    adam_advance(t, term, arrears, state);
  });
  const auto rows = FASTPTY_ACTIVE(adam_step_rows);
  for_each_row_of_tiles(
      t, adam_step_factors,
      [&](const AdamFactors* factors, std::int64_t plane, std::int64_t row, std::int64_t row_end) {
        rows(t, factors, plane, row, row_end, gradient);
      });
}

void adam_settle(const AdamTiles& t) {
  const auto rows = FASTPTY_ACTIVE(adam_settle_rows);
  for_each_row_of_tiles(t, adam_settle_factors,
                        [&](const AdamFactors* factors, std::int64_t plane, std::int64_t row,
                            std::int64_t row_end) { rows(t, factors, plane, row, row_end); });
  for_each_tile(t, [](std::int64_t, AdamArrears& arrears, std::int32_t& state) {
    arrears = {1, 1, 0, 0};
    state = kAway;
  });
}

}  // namespace fastpty
