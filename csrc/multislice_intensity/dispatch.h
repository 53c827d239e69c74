// Which family of CUDA kernels serves which window on which GPU: the one table.
#pragma once

#include <cstdint>

namespace fastpty {
namespace cuda {

enum class Family { none, split, on_chip, cluster };

const char* family_name(Family family);

// What the choice depends on.
struct Gpu {
  int capability;    // 80, 86, 90, ...
  int shared_bytes;  // cudaDevAttrMaxSharedMemoryPerBlockOptin
};

// Shared memory of an on_chip block: the wave, its rows one element longer than the window but for
// the last; a quarter of the propagator's table, which is even; the twiddles.
constexpr std::int64_t on_chip_shared_bytes(std::int64_t ny, std::int64_t nx) {
  return 8 * (ny * (nx + 1) - 1 + (ny / 2 + 1) * (nx / 2 + 1) + (ny == nx ? nx : ny + nx));
}

// And of one of the four blocks of a cluster.
constexpr std::int64_t kClusterSharedBytes = 8 * (64 * 257 + 33 * 132 + 256);

// The family for complex64 windows of ny x nx pixels; `none`: the composed path over torch's
// transforms. With `deterministic`, the backward takes `split`, which alone can gather.
Family multislice_family(std::int64_t ny, std::int64_t nx, const Gpu& gpu);

}  // namespace cuda
}  // namespace fastpty
