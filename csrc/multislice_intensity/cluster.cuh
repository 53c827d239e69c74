// multislice_intensity, the cluster family: windows of 256 x 256 pixels, on GPUs of capability 9.0
// and 10.0, whose blocks can read one another's shared memory.
//
// As the on-chip family (on_chip.cuh), but four blocks take one wave through all slices, in 165 KiB
// of shared memory each: cluster_passes.cuh.
#pragma once

#include "multislice_intensity/cluster_passes.cuh"
#include "multislice_intensity/on_chip_slices.cuh"

namespace fastpty {
namespace cuda {

template <bool Pair>
__global__ void FASTPTY_CLUSTER_OF(ClusterChip::kBlocks) __launch_bounds__(ClusterChip::kThreads, 1)
    cluster_forward_kernel(const Multislice p, const Tables t, const Chunk c) {
#if FASTPTY_CLUSTERS
  FASTPTY_SHARED(Cf, shared);
  take_forward<ClusterChip, Pair>(ClusterChip(shared), p, t, c);
#endif
}

template <bool Pair, bool Moments>
__global__ void FASTPTY_CLUSTER_OF(ClusterChip::kBlocks) __launch_bounds__(ClusterChip::kThreads, 1)
    cluster_backward_kernel(const Multislice p, const Tables t, const Chunk c,
                            const ChunkGradients g) {
#if FASTPTY_CLUSTERS
  FASTPTY_SHARED(Cf, shared);
  take_backward<ClusterChip, Pair, Moments>(ClusterChip(shared), p, t, c, g);
#endif
}

// --------------------------------------------------------------------------------------- host

// Into how many parts a wave's moments are cut: one for each block.
constexpr int kClusterMomentParts = ClusterChip::kParts;

namespace cluster {

// 64 points as the rows' passes transform them, there and back.
inline void sixty_four_there(Complex<double>* x, const Cf* twiddles) {
  for (int c = 0; c < 8; ++c) {
    Complex<double> v[8];
    for (int b = 0; b < 8; ++b) v[b] = x[8 * b + c];
    Dft<8, -1>::run(v);
    for (int b = 0; b < 8; ++b) x[8 * b + c] = v[b];
  }
  for (int b = 0; b < 8; ++b) twiddled_dft<8, -1>(x + 8 * b, TwiddlePowers(twiddles, 4 * b, 32));
}
inline void sixty_four_back(Complex<double>* x, const Cf* twiddles) {
  for (int b = 0; b < 8; ++b) Dft<8, 1>::run(x + 8 * b);
  for (int c = 0; c < 8; ++c) {
    Complex<double> v[8];
    for (int b = 0; b < 8; ++b) v[b] = x[8 * b + c];
    twiddled_dft<8, 1>(v, TwiddlePowers(twiddles, 4 * c, 32));
    for (int b = 0; b < 8; ++b) x[8 * b + c] = v[b];
  }
}

}  // namespace cluster

// Of one transform, both axes (common/fft_passes.h).
inline double cluster_power_gain() {
  const double along_x = power_gain_of<256>(
      [](Complex<double>* x, const Cf* twiddles) {
        all_first_steps<4, 64>(x, twiddles);
        for (int i = 0; i < 4; ++i) cluster::sixty_four_there(x + 64 * i, twiddles);
      },
      [](Complex<double>* x, const Cf* twiddles) {
        for (int i = 0; i < 4; ++i) cluster::sixty_four_back(x + 64 * i, twiddles);
        all_last_steps<4, 64>(x, twiddles);
      });
  return two_step_power_gain<8, 32>() * along_x;
}

// Four blocks for each wave of the chunk, on a GPU of capability 9.0 or more.
// shared_limit: what a block may take on the present device.
inline void cluster_forward(const Multislice& p, const Tables& t, const Chunk& c, int shared_limit,
                            Stream stream) {
  check_shared_memory(ClusterChip::kSharedBytes, shared_limit);
  const dim3 grid(static_cast<unsigned>(ClusterChip::kBlocks * c.waves(p)));
  const auto run = [&](auto pair) {
    launch_cluster<cluster_forward_kernel<decltype(pair)::value>>(
        grid, ClusterChip::kBlocks, ClusterChip::kThreads, ClusterChip::kSharedBytes, stream, p, t,
        c);
  };
  with_flag(p.object == nullptr, run);
}
inline void cluster_backward(const Multislice& p, const Tables& t, const Chunk& c,
                             const ChunkGradients& g, int shared_limit, Stream stream) {
  check_shared_memory(ClusterChip::kSharedBytes, shared_limit);
  const dim3 grid(static_cast<unsigned>(ClusterChip::kBlocks * c.waves(p)));
  with_flag(p.object == nullptr, [&](auto pair) {
    with_flag(g.moments != nullptr, [&](auto moments) {
      launch_cluster<cluster_backward_kernel<decltype(pair)::value, decltype(moments)::value>>(
          grid, ClusterChip::kBlocks, ClusterChip::kThreads, ClusterChip::kSharedBytes, stream, p,
          t, c, g);
    });
  });
}

}  // namespace cuda
}  // namespace fastpty
