// multislice_intensity, the on-chip family: windows of 64 and 128 pixels along each axis.
//
// One block takes one wave through all slices, the wave in shared memory from the probe to the
// detector and back: on_chip_passes.cuh has the transforms, on_chip_slices.cuh what happens between
// them.
//
// Traffic with global memory per wave and slice: the object's window, which the modes of a position
// share in the L2 cache and whose blocks are neighbours for that; psi once, where it is kept; and
// in the backward the object's gradient.
//
// Shared memory: 163 KiB for 128 x 128 pixels, all that an A100 has; 83 KiB for 64 x 128, 43 KiB
// for 64 x 64.
#pragma once

#include <stdexcept>
#include <type_traits>

#include "multislice_intensity/dispatch.h"
#include "multislice_intensity/on_chip_passes.cuh"
#include "multislice_intensity/on_chip_slices.cuh"

namespace fastpty {
namespace cuda {

// Enough blocks on a multiprocessor that each thread has no more than 128 registers.
template <int Ny, int Nx>
constexpr int kOnChipBlocks = 512 / OnChip<Ny, Nx>::kThreads;

// With moments a thread of a rectangular window's kernel wants some more than that.
template <int Ny, int Nx, bool Moments>
constexpr int kOnChipBackwardBlocks = Moments && Ny != Nx ? 1 : kOnChipBlocks<Ny, Nx>;

template <int Ny, int Nx, bool Pair>
__global__ void __launch_bounds__(OnChip<Ny, Nx>::kThreads, kOnChipBlocks<Ny, Nx>)
    on_chip_forward_kernel(const Multislice p, const Tables t, const Chunk c) {
  FASTPTY_SHARED(Cf, shared);
  take_forward<OnChip<Ny, Nx>, Pair>(OnChip<Ny, Nx>(shared), p, t, c);
}

template <int Ny, int Nx, bool Pair, bool Moments>
__global__ void __launch_bounds__(OnChip<Ny, Nx>::kThreads, kOnChipBackwardBlocks<Ny, Nx, Moments>)
    on_chip_backward_kernel(const Multislice p, const Tables t, const Chunk c,
                            const ChunkGradients g) {
  FASTPTY_SHARED(Cf, shared);
  take_backward<OnChip<Ny, Nx>, Pair, Moments>(OnChip<Ny, Nx>(shared), p, t, c, g);
}

// --------------------------------------------------------------------------------------- host

inline bool on_chip_serves(int ny, int nx) {
  return (ny == 64 || ny == 128) && (nx == 64 || nx == 128);
}

namespace on_chip {

template <int N>
using Size = std::integral_constant<int, N>;

// f(Size<Ny>, Size<Nx>)
template <class F>
auto with_sizes(int ny, int nx, const F& f) {
  if (!on_chip_serves(ny, nx))
    throw std::invalid_argument("CUDA: no on-chip kernel for this window");
  if (ny == 64) return nx == 64 ? f(Size<64>(), Size<64>()) : f(Size<64>(), Size<128>());
  return nx == 64 ? f(Size<128>(), Size<64>()) : f(Size<128>(), Size<128>());
}

// run(Size<Ny>, Size<Nx>, object is a pair, one block for each wave)
template <class Run>
void launch_for(const Multislice& p, const Chunk& c, int shared_limit, const Run& run) {
  with_sizes(p.ny, p.nx, [&](auto y, auto x) {
    using Chip = OnChip<decltype(y)::value, decltype(x)::value>;
    static_assert(Chip::kSharedBytes == on_chip_shared_bytes(y, x), "as dispatch.h has it");
    check_shared_memory(Chip::kSharedBytes, shared_limit);
    const dim3 grid(static_cast<unsigned>(c.waves(p)));
    with_flag(p.object == nullptr, [&](auto pair) { run(y, x, pair, grid); });
  });
}

}  // namespace on_chip

// Of one transform, both axes (common/fft_passes.h).
inline double on_chip_power_gain(int ny, int nx) {
  return on_chip::with_sizes(ny, nx, [](auto y, auto x) {
    using Chip = OnChip<decltype(y)::value, decltype(x)::value>;
    return two_step_power_gain<Chip::kFirstY, Chip::kRestY>() *
           two_step_power_gain<Chip::kFirstX, Chip::kRestX>();
  });
}

// One block for each wave of the chunk. shared_limit: what a block may take on the present device.
inline void on_chip_forward(const Multislice& p, const Tables& t, const Chunk& c, int shared_limit,
                            Stream stream) {
  on_chip::launch_for(p, c, shared_limit, [&](auto y, auto x, auto pair, dim3 grid) {
    using Chip = OnChip<decltype(y)::value, decltype(x)::value>;
    launch<on_chip_forward_kernel<decltype(y)::value, decltype(x)::value, decltype(pair)::value>>(
        grid, Chip::kThreads, Chip::kSharedBytes, stream, p, t, c);
  });
}
inline void on_chip_backward(const Multislice& p, const Tables& t, const Chunk& c,
                             const ChunkGradients& g, int shared_limit, Stream stream) {
  on_chip::launch_for(p, c, shared_limit, [&](auto y, auto x, auto pair, dim3 grid) {
    using Chip = OnChip<decltype(y)::value, decltype(x)::value>;
    with_flag(g.moments != nullptr, [&](auto moments) {
      launch<on_chip_backward_kernel<decltype(y)::value, decltype(x)::value, decltype(pair)::value,
                                     decltype(moments)::value>>(
          grid, Chip::kThreads, Chip::kSharedBytes, stream, p, t, c, g);
    });
  });
}

}  // namespace cuda
}  // namespace fastpty
