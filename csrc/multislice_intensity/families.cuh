// The families of kernels as multislice_intensity.cu calls them: the same arguments for each, on
// one chunk of positions. Each has a source file of its own, so that they compile side by side.
#pragma once

#include <functional>

#include "multislice_intensity/chunk.cuh"

namespace fastpty {
namespace cuda {

struct FamilyKernels {
  // Bytes of the memory `wave` that a chunk's wave takes, 0 for families that need none.
  Index (*wave_bytes)(const Multislice&);
  int (*moment_parts)(const Multislice&);
  double (*power_gain)(int ny, int nx);  // of one transform, both axes (common/fft_passes.h)
  void (*forward)(const Multislice&, const Tables&, const Chunk&, Cf* wave, Stream);
  // after_slice(z): when the products of slice z are complete, where ChunkGradients has them.
  void (*backward)(const Multislice&, const Tables&, const Chunk&, const ChunkGradients&, Cf* wave,
                   Stream, const std::function<void(int z)>& after_slice);
};

FamilyKernels split_kernels();    // split.cu
FamilyKernels on_chip_kernels();  // on_chip.cu
FamilyKernels cluster_kernels();  // cluster.cu

}  // namespace cuda
}  // namespace fastpty
