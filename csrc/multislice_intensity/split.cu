#include "multislice_intensity/families.cuh"
#include "multislice_intensity/split.cuh"

namespace fastpty {
namespace cuda {
namespace {

void backward(const Multislice& p, const Tables& t, const Chunk& c, const ChunkGradients& g,
              Cf* wave, Stream stream, const std::function<void(int)>& after_slice) {
  split_backward(p, t, c, g, wave, stream, after_slice);
}

}  // namespace

FamilyKernels split_kernels() {
  return {split_wave_bytes, split_moment_parts, split_power_gain, split_forward, backward};
}

}  // namespace cuda
}  // namespace fastpty
