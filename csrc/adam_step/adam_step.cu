// A thread for each tile sees to its arrears; then a block for each tile and a few planes goes
// through its pixels, or leaves at once.
#include "adam_step/adam_step_cuda.h"
#include "adam_step/tiles.h"
#include "cuda/platform.cuh"

namespace fastpty {
namespace cuda {
namespace {

constexpr int kTileThreads = 128;
constexpr int kPixels = kAdamTile * kAdamTile;

// Planes that a thread goes through: enough to be worth the tile's factors, few enough for as many
// blocks as keep the device busy where a batch sees a small part of the object.
constexpr Index kPlanes = 8;

FASTPTY_BOTH Index tiles_across(const AdamTiles& t) { return adam_tiles_along(t.cols); }
FASTPTY_BOTH Index tiles_of(const AdamTiles& t) {
  return adam_tiles_along(t.rows) * tiles_across(t);
}

// Whether pixels [first, last) reach into a tile along one axis, whose pixels end at `end`.
FASTPTY_DEVICE bool overlaps(Index tile, Index first, Index last, Index end) {
  const Index begin = tile * kAdamTile, after = begin + kAdamTile;
  return first < (after < end ? after : end) && last > begin;
}

__global__ void reach(AdamTiles t, AdamWindows w) {
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= tiles_of(t)) return;
  const Index row = i / tiles_across(t), col = i % tiles_across(t);
  bool touched = false;
  for (Index j = 0; j < w.positions; ++j) {
    const Index y = w.corner[2 * j], x = w.corner[2 * j + 1];
    touched = touched || (overlaps(row, y - w.reach[0], y + w.window[0] + w.reach[0], t.rows) &&
                          overlaps(col, x - w.reach[1], x + w.window[1] + w.reach[1], t.cols));
  }
  adam_reach(t.arrears[i], t.state[i], touched);
}

__global__ void advance(AdamTiles t, const float* rate, const float* step) {
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i < tiles_of(t)) adam_advance(t, adam_term(t, *rate, *step), t.arrears[i], t.state[i]);
}

__global__ void forget(AdamTiles t) {
  const Index i = static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= tiles_of(t)) return;
  t.arrears[i] = {1, 1, 0, 0};
  t.state[i] = kAway;
}

enum class Work { catch_up, step, settle };

template <Work kWork>
__global__ void pixels(AdamTiles t, const float* gradient) {
  const Index tile = blockIdx.x;
  const Index row = tile / tiles_across(t) * kAdamTile + threadIdx.x / kAdamTile;
  const Index col = tile % tiles_across(t) * kAdamTile + threadIdx.x % kAdamTile;
  const auto factors = kWork == Work::catch_up ? adam_catch_up_factors
                       : kWork == Work::step   ? adam_step_factors
                                               : adam_settle_factors;
  const AdamFactors f = factors(t, t.arrears[tile], t.state[tile]);
  if (!f.active || row >= t.rows || col >= t.cols) return;
  const auto g1 = static_cast<float>(1 - t.beta1), g2 = static_cast<float>(1 - t.beta2);
  const Index plane = t.rows * t.cols, first = static_cast<Index>(blockIdx.y) * kPlanes;
  const Index last = first + kPlanes < t.planes ? first + kPlanes : t.planes;
  for (Index at = first * plane + row * t.cols + col; at < last * plane; at += plane) {
    float m = t.first[at], v = t.second[at];
    if (kWork == Work::step) {
      const float g = gradient[at];
      m = f.decay1 * m + g1 * g;
      v = f.decay2 * v + g2 * (g * g);
    }
    t.value[at] -= m / (f.root * sqrtf(v) + f.eps);
    if (kWork == Work::settle) {
      m = f.decay1 * m;
      v = f.decay2 * v;
    }
    if (kWork != Work::catch_up) {
      t.first[at] = m;
      t.second[at] = v;
    }
  }
}

dim3 tile_blocks(const AdamTiles& t) {
  return dim3(static_cast<unsigned>((tiles_of(t) + kTileThreads - 1) / kTileThreads));
}

template <Work kWork>
void launch_pixels(const AdamTiles& t, const float* gradient, Stream stream) {
  const dim3 blocks(static_cast<unsigned>(tiles_of(t)),
                    static_cast<unsigned>((t.planes + kPlanes - 1) / kPlanes));
  launch<pixels<kWork>>(blocks, kPixels, 0, stream, t, gradient);
}

}  // namespace

void adam_catch_up(const AdamTiles& t, const AdamWindows& w, int device, void* on_stream) {
  use_device(device);
  const auto stream = static_cast<Stream>(on_stream);
  launch<reach>(tile_blocks(t), kTileThreads, 0, stream, t, w);
  launch_pixels<Work::catch_up>(t, nullptr, stream);
}

void adam_step(const AdamTiles& t, const float* gradient, const float* rate, const float* step,
               int device, void* on_stream) {
  use_device(device);
  const auto stream = static_cast<Stream>(on_stream);
  launch<advance>(tile_blocks(t), kTileThreads, 0, stream, t, rate, step);
  launch_pixels<Work::step>(t, gradient, stream);
}

void adam_settle(const AdamTiles& t, int device, void* on_stream) {
  use_device(device);
  const auto stream = static_cast<Stream>(on_stream);
  launch_pixels<Work::settle>(t, nullptr, stream);
  launch<forget>(tile_blocks(t), kTileThreads, 0, stream, t);
}

}  // namespace cuda
}  // namespace fastpty
